//! The list of messages, and the schemas of their parts.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::patterns::Patterns;
use crate::{
    EventName, Refusal, ServerMessage,
    channel::{ChannelKind, DeliveryRule, KINDS, SnapshotRule},
    control::{
        Ack, Closed, ConnectError, Connected, Failed, Pong, RefusedChannel, RetryAfter,
        TokenExpiring,
    },
    request,
};

/// Where the schemas are in an AsyncAPI document.
const DEFINITIONS: &str = "/components/schemas";

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client: the message is a request.
    Client,
    /// The server: the message is an answer, a notice or an update.
    Server,
}

/// One message of a native WebSocket in JSON.
#[derive(Debug, Clone)]
pub struct Message {
    /// The event's name.
    pub event: String,
    /// The side that sends it.
    pub sender: Sender,
    /// The schema of the whole message.
    pub payload: Value,
    /// The name of the schema of `data`; `None` without data.
    pub data: Option<String>,
}

/// All messages, and the definitions that their schemas refer to.
#[derive(Debug, Clone)]
pub struct Schemas {
    /// Requests first, then control messages, then the events of channels.
    pub messages: Vec<Message>,
    /// By name.
    pub definitions: BTreeMap<String, Value>,
    /// The regular expressions of the definitions.
    pub(super) patterns: Patterns,
}

impl Schemas {
    /// Derives the schemas from the types.
    pub fn new() -> Self {
        let mut builder = Builder {
            // Clients write what the server parses, and the other way around.
            client: settings().for_deserialize().into_generator(),
            server: settings().for_serialize().into_generator(),
            messages: Vec::new(),
        };
        builder.requests();
        builder.control_messages();
        for kind in KINDS {
            for event in kind.events {
                builder.update(kind, event);
            }
        }
        builder.finish()
    }

    /// The message with this event.
    pub fn message(&self, event: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.event == event)
    }

    /// The definition that a `$ref` names.
    pub fn definition(&self, reference: &str) -> Option<&Value> {
        let name = reference.rsplit('/').next()?;
        self.definitions.get(name)
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self::new()
    }
}

struct Builder {
    client: SchemaGenerator,
    server: SchemaGenerator,
    messages: Vec<Message>,
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = DEFINITIONS.into();
        settings.meta_schema = None;
    })
}

impl Builder {
    fn requests(&mut self) {
        use request::{
            AcknowledgeData, AuthData, NamesData, PresenceData, PublishData, SignalData,
            SubscribeData,
        };
        self.request::<SubscribeData>("subscribe");
        self.request::<NamesData>("unsubscribe");
        self.request_without_data("ping");
        self.request::<AuthData>("auth");
        self.request_without_data("subscriptions");
        self.request::<AcknowledgeData>("acknowledge");
        self.request::<PublishData>("publish");
        self.request::<SignalData>("signal");
        self.request::<PresenceData>("presence");
    }

    fn request<T: JsonSchema>(&mut self, event: &str) {
        let data = self.client.subschema_for::<T>().to_value();
        self.push_request(event, Some(data));
    }

    fn request_without_data(&mut self, event: &str) {
        self.push_request(event, None);
    }

    fn push_request(&mut self, event: &str, data: Option<Value>) {
        let id = self.client.subschema_for::<request::RequestId>();
        let mut payload = Payload::new(event);
        payload.optional("id", id.to_value());
        self.push(event, Sender::Client, payload, data);
    }

    fn control_messages(&mut self) {
        self.control::<Connected>(Connected::EVENT, false);
        self.control::<Ack>(Ack::EVENT, true);
        self.control::<Pong>(Pong::EVENT, true);
        self.control::<Refusal>(Refusal::EVENT, true);
        self.control::<TokenExpiring>(TokenExpiring::EVENT, false);
        // Not messages of a WebSocket: sent only by the other transports, or in a close frame.
        self.server.subschema_for::<Closed>();
        self.server.subschema_for::<RetryAfter>();
        self.server.subschema_for::<ConnectError>();
        self.server.subschema_for::<Failed>();
        self.server.subschema_for::<RefusedChannel>();
    }

    fn control<T: JsonSchema>(&mut self, event: &str, answers: bool) {
        let data = self.server.subschema_for::<T>().to_value();
        let mut payload = Payload::new(event);
        if answers {
            payload.optional("id", self.field("id"));
        }
        self.push(event, Sender::Server, payload, Some(data));
    }

    /// An event of channels of this kind.
    fn update(&mut self, kind: &ChannelKind, event: &EventName) {
        let data = event.data_schema(&mut self.server);
        let data = data.map(schemars::Schema::to_value);
        let mut payload = Payload::new(event.as_str());
        let mut channel = self.field("channel");
        channel["description"] = format!("The canonical name: {}.", kind.forms.join(" or ")).into();
        if *kind.forms == [kind.prefix] {
            channel["const"] = kind.prefix.into();
        } else {
            channel["examples"] = kind.examples.into();
        }
        payload.required("channel", channel);
        if event.is_stored() {
            payload.required("seq", self.field("seq"));
            if !matches!(kind.delivery, DeliveryRule::AllOnly(_)) {
                payload.optional("prev", self.field("prev"));
            }
        }
        if is_snapshot(&kind.snapshot, event) {
            payload.optional("snapshot", self.field("snapshot"));
        }
        self.push(event.as_str(), Sender::Server, payload, data);
    }

    /// A field of [`ServerMessage`].
    fn field(&mut self, name: &str) -> Value {
        let message = self
            .server
            .root_schema_for::<ServerMessage<'static>>()
            .to_value();
        let mut field = message["properties"][name].clone();
        without_null(&mut field);
        field
    }

    fn push(&mut self, event: &str, sender: Sender, mut payload: Payload, data: Option<Value>) {
        let name = data
            .as_ref()
            .and_then(|data| data["$ref"].as_str()?.rsplit('/').next())
            .map(str::to_owned);
        if let Some(data) = data {
            payload.required("data", data);
        }
        self.messages.push(Message {
            event: event.to_owned(),
            sender,
            payload: payload.into_schema(),
            data: name,
        });
    }

    fn finish(mut self) -> Schemas {
        // Types that both sides send have one schema.
        let mut definitions: BTreeMap<String, Value> =
            self.client.take_definitions(true).into_iter().collect();
        definitions.extend(self.server.take_definitions(true));
        for schema in definitions.values_mut() {
            omitted_is_not_null(schema);
            join_lines(schema);
        }
        for message in &mut self.messages {
            join_lines(&mut message.payload);
        }
        Schemas {
            messages: self.messages,
            patterns: Patterns::new(definitions.values()),
            definitions,
        }
    }
}

/// The properties of an object: the required ones in the order of the type, then the others by name.
pub(super) fn properties(schema: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Vec::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let optional = properties.keys().map(String::as_str);
    let optional = optional.filter(|name| !required.contains(name));
    required
        .iter()
        .copied()
        .chain(optional)
        .filter_map(|name| Some((name, properties.get(name)?)))
        .collect()
}

fn is_snapshot(rule: &SnapshotRule, event: &EventName) -> bool {
    match rule {
        SnapshotRule::Nothing => false,
        SnapshotRule::Newest(of)
        | SnapshotRule::NewestUnlessWithdrawn { of, .. }
        | SnapshotRule::TransactionState(of) => of == event,
        SnapshotRule::Unacknowledged => true,
    }
}

/// The schema of a message, in parts.
struct Payload {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Payload {
    fn new(event: &str) -> Self {
        let mut payload = Self {
            properties: Map::new(),
            required: Vec::new(),
        };
        payload.required("event", json!({ "const": event }));
        payload
    }

    fn optional(&mut self, name: &str, schema: Value) {
        self.properties.insert(name.to_owned(), schema);
    }

    fn required(&mut self, name: &str, schema: Value) {
        self.optional(name, schema);
        self.required.push(name.to_owned());
    }

    fn into_schema(self) -> Value {
        json!({
            "type": "object",
            "required": self.required,
            "properties": self.properties,
        })
    }
}

/// An optional key is omitted, never null. (The server takes null for an omitted one.)
fn omitted_is_not_null(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            if !required.iter().any(|required| required == name) {
                without_null(property);
            }
            omitted_is_not_null(property);
        }
    }
}

/// Removes null from the types that a schema allows.
fn without_null(schema: &mut Value) {
    let is_null = |schema: &Value| schema["type"] == "null";
    if let Some(types) = schema.get_mut("type")
        && let Some([one, _]) = types.as_array().map(Vec::as_slice)
    {
        *types = one.clone();
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|one| !is_null(one));
        if let [one] = any.as_slice() {
            let one = one.clone();
            merge(schema, "anyOf", one);
        }
    }
}

/// Replaces the key `wrapper` by the only schema in it. Beside a `$ref`, draft 7 ignores other keys, so it stays wrapped
/// when there are some.
fn merge(schema: &mut Value, wrapper: &str, one: Value) {
    let Some(keys) = schema.as_object_mut() else {
        return;
    };
    keys.remove(wrapper);
    if one.get("$ref").is_some() && !keys.is_empty() {
        keys.insert("allOf".to_owned(), json!([one]));
    } else if let Value::Object(one) = one {
        keys.extend(one);
    }
}

/// Joins the lines of descriptions, which are wrapped in the source.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            for (key, value) in keys {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    other => join_lines(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}
