// Generated from the types of crates/protocol by `make generate`; do not edit.
//
// The messages of the realtime protocol in JSON; docs/protocol.md describes them.
//
// A `Decimal` has more digits than a JavaScript number: JSON.parse rounds it to the nearest double. Messages can have
// events and fields that this version does not know.

/** The data of `ack`; the request decides which one it is. */
export type Ack =
  /** Of `subscribe` with `channel`. */
  | Subscribed
  /** Of `publish`. */
  | Published
  /** Of `presence`. */
  | Members
  /** Of `unsubscribe` with `channel`, and of `signal`. */
  | Unsubscribed
  /** Of `subscriptions`. */
  | Subscriptions
  /** Of `subscribe` and `unsubscribe` with `channels`. */
  | ChannelResults
  /** Of `acknowledge`. */
  | Acknowledged
  /** Of a request that failed. Only Socket.IO has it; other transports send `error`. */
  | Failed
  /** Of `auth`. */
  | Authenticated;

/** Acknowledges deliveries of price alerts and messages: no later snapshot includes them. */
export interface Acknowledge {
  /** Ids of deliveries; at most 1,000 (`limits.acknowledged_ids`). */
  ids: number[];
}

/** The deliveries were acknowledged. */
export interface Acknowledged {
  /** How many were not acknowledged before. */
  acknowledged: number;
  /** Always true. */
  success: true;
}

/** An address with its checksum (EIP-55). */
export type Address = string;

/** Blocks with activity of the address left the canonical chain: their updates are invalid. Updates of the new branch follow. */
export interface AddressReorg {
  /** EIP-155 chain id. */
  chainId: number;
  /** The newest block that both branches have. */
  commonAncestor: BlockRef;
  /** Dropped blocks with activity of the address, newest first. */
  dropped: BlockRef[];
  /** Server time, in ms. */
  timestamp: number;
}

/** A transaction from or to the address, or the one that created it. */
export interface AddressTransaction {
  /** EIP-155 chain id. */
  chainId: number;
  /** The transaction's hash, as in `tx:HASH`. */
  hash: Hash;
  /** Null before Byzantium. */
  status: TransactionResult | null;
  /** Height of its block. */
  blockNumber: number;
  /** Hash of its block. */
  blockHash: Hash;
  /** The header's timestamp, in seconds. */
  blockTimestamp: number;
  /** Position in the block, from 0. */
  transactionIndex: number;
  /** The sender. */
  from: Address;
  /** Null if it creates a contract. */
  to: Address | null;
  /** The created contract. */
  contractAddress: Address | null;
  /** In wei. */
  value: Quantity;
  /** Orders the transactions of the sender, from 0. */
  nonce: Quantity;
  /** Its EIP-2718 type; 0 is a legacy transaction. */
  type: number;
  /** The most gas that it may use. */
  gasLimit: Quantity;
  /** What it pays per unit of gas, in wei like the other prices and fees; null for a transaction with a dynamic fee. */
  gasPrice: Quantity | null;
  /** The most that it pays per unit of gas; null for a transaction without a dynamic fee, like the priority fee. */
  maxFeePerGas: Quantity | null;
  /** The most that the sender adds to the base fee, in wei (EIP-1559). */
  maxPriorityFeePerGas: Quantity | null;
  /** Gas that the sender paid for, by the receipt. */
  gasUsed: Quantity;
  /** Sum of `gasUsed` of the block's transactions up to this one. */
  cumulativeGasUsed: Quantity;
  /** What the sender paid per unit of gas, in wei. */
  effectiveGasPrice: Quantity;
  /** Server time, in ms. */
  timestamp: number;
}

/** A transfer from or to the address. */
export interface AddressTransfer {
  /** EIP-155 chain id. */
  chainId: number;
  /** Height of its block. */
  blockNumber: number;
  /** Hash of its block. */
  blockHash: Hash;
  /** The header's timestamp, in seconds. */
  blockTimestamp: number;
  /** Null when unknown. */
  transactionHash: Hash | null;
  /** Position of the transaction in the block, from 0. */
  transactionIndex: number;
  /** What it was read from. */
  source: TransferSource;
  /** Null if `source` is `transaction`. */
  logIndex: number | null;
  /** Position within the log; above 0 only in an ERC-1155 batch. */
  position: number;
  /** The kind of asset. */
  standard: TokenStandard;
  /** The token contract; null for the native coin. */
  token: Address | null;
  /** The zero address if the amount was minted. */
  from: Address;
  /** The zero address if the amount was burned. */
  to: Address;
  /** Null for ERC-20 and the native coin. */
  tokenId: Quantity | null;
  /** In wei, or the token's smallest unit. */
  amount: Quantity;
  /** Server time, in ms. */
  timestamp: number;
}

/** The side of the threshold on which an alert fires. The threshold itself belongs to both sides. */
export type AlertCondition =
  /** The price is at the threshold or above it. */
  | "above"
  /** The price is at the threshold or below it. */
  | "below";

/** A notice to everybody. */
export interface Announcement {
  /** What the message is to the application. */
  type: MessageType;
  /** The content, as sent. */
  payload: Payload;
  /** Server time, in ms. */
  timestamp: number;
  /** The sender's, if it gave one. */
  key?: MessageKey;
}

/** By name, in ABI order; docs/protocol.md has the types. */
export type Arguments = Record<string, unknown>;

/** Authenticates the session, or renews its JWT. */
export interface Auth {
  /** A JWT; an empty one counts as none. */
  token: string;
}

/** The JWT was accepted. */
export interface Authenticated {
  /** Always true. */
  success: true;
  /** The authenticated user. */
  user: User | null;
  /** Channels whose subscriptions ended because the new JWT does not allow them. */
  unsubscribed?: string[];
}

/** No reorg will drop this block or an older one. */
export interface BlockFinalized {
  /** Height of the block. */
  number: number;
  /** Identifies the block and its branch. */
  hash: Hash;
  /** EIP-155 chain id. */
  chainId: number;
  /** Server time, in ms. */
  timestamp: number;
}

/** A block by height and hash. The height alone does not identify the branch. */
export interface BlockRef {
  /** Height: the distance from block 0. */
  number: number;
  /** Identifies the block and its branch. */
  hash: Hash;
}

/** The length of a candle. */
export type CandleInterval = "1m" | "5m" | "15m" | "1h" | "4h" | "1d";

/** A candle was updated, closed, or corrected after its close. Each update has the whole candle, which replaces the one with the same `timestamp`. */
export interface CandleUpdate {
  /** The token whose price it summarizes. */
  token: Token;
  /** Length of the candle. */
  interval: CandleInterval;
  /** Start of the candle, in ms since the Unix epoch. */
  timestamp: number;
  /** The first price, in USD. */
  open: Decimal;
  /** The highest price, in USD. */
  high: Decimal;
  /** The lowest price, in USD. */
  low: Decimal;
  /** The last price so far, in USD. */
  close: Decimal;
  /** Number of prices in the candle. */
  count: number;
  /** Whether its interval has ended. The update is sent again if a late price corrects the candle. */
  closed: boolean;
  /** Whether it only fills a gap; always false on the channel. */
  synthetic: false;
}

/** Current health of a chain, as reported to clients. */
export interface ChainHealth {
  /** EIP-155 chain id. */
  chainId: number;
  /** Number of the newest indexed block; null before the first. */
  head: number | null;
  /** Age of that block, by its own timestamp. */
  headAgeMs: number | null;
  /** Time since the node last answered; null if it never did. */
  nodeAgeMs: number | null;
  /** Whether its node answers and its index keeps up. */
  status: ChainStatus;
}

/** Health status of a chain. */
export type ChainStatus =
  /** The node answers, and the index is close to it. */
  | "ok"
  /** The node answers, but the index is behind it, or the newest block is older than `head_age_ms`. */
  | "lagging"
  /** The node does not answer, or no indexer polls it. */
  | "down";

/** The channels of a request: either `channel` or `channels`. */
export interface ChannelNames {
  /** One channel, in any case. */
  channel?: string;
  /** Several channels, answered channel by channel; at most 100 (`limits.channels_per_request`). */
  channels?: string[];
}

/** The result for one channel of several. */
export interface ChannelResult {
  /** In canonical form; as requested, if it failed. */
  channel: string;
  /** Whether the channel was subscribed or unsubscribed. */
  success: boolean;
  /** Why it failed. */
  error?: Refusal;
  /** Of a subscription: whether every update after `since` follows. */
  recovered?: boolean;
  /** Of a subscription: the channel's newest. */
  seq?: number;
}

/** One result per channel, in the order of the request. */
export interface ChannelResults {
  /** The results, one for each channel that the request names. */
  channels: ChannelResult[];
  /** Whether every channel succeeded. */
  success: boolean;
}

/** The last event of an event stream; a WebSocket gets a close frame instead. */
export interface Closed {
  /** The close code of a WebSocket. */
  code: number;
  /** For people; `{"retryAfterMs":N}` with code 1001. */
  reason: string;
  /** Whether the client should reconnect without a change. */
  reconnect: boolean;
}

/** Why a Socket.IO client could not join the namespace: the payload of `connect_error`. */
export interface ConnectError {
  /** For people. */
  message: string;
  /** Omitted for an unknown namespace. */
  data?: ConnectErrorData;
}

/** The part of a refusal that is for programs. */
export interface ConnectErrorData {
  /** Why the join was refused. */
  code: ErrorCode;
  /** Delay before the same request can succeed, in ms. */
  retryAfterMs?: number;
}

/** The session is open. */
export interface Connected {
  /** Random id of the session; on Socket.IO the client's `socket.id`. */
  clientId: string;
  /** Of the database: a seq is valid only within its epoch. */
  epoch: string;
  /** Time between the pings of the server, in ms. */
  pingInterval: number;
  /** A session that sends nothing for both times is closed. In ms. */
  pingTimeout: number;
  /** In ms since the Unix epoch. */
  serverTime: number;
  /** The authenticated user. */
  user: User | null;
}

/** A configured contract emitted an event. */
export interface ContractEvent {
  /** The name in the configuration. */
  contract: string;
  /** The name in the ABI. */
  event: string;
  /** The contract that emitted it. */
  address: Address;
  /** Null if longer than 64 KiB as JSON; the REST API returns them. */
  args: Arguments | null;
  /** Height of its block. */
  blockNumber: number;
  /** Hash of its block. */
  blockHash: Hash;
  /** The header's timestamp, in seconds. */
  blockTimestamp: number;
  /** Null when unknown. */
  transactionHash: Hash | null;
  /** Position of the log in the block, from 0. */
  logIndex: number;
  /** EIP-155 chain id. */
  chainId: number;
  /** Server time of the update, in ms. */
  timestamp: number;
}

/** The events of the dropped blocks are invalid; those of the new branch follow. */
export interface ContractReorg {
  /** EIP-155 chain id. */
  chainId: number;
  /** The newest block that both branches have. */
  commonAncestor: BlockRef;
  /** Newest first. */
  dropped: BlockRef[];
  /** Server time, in ms. */
  timestamp: number;
}

/** A number with all its digits; a lossless parser keeps them. In MessagePack a string. */
export type Decimal = number;

/** Stable codes of `error` events, failed acks and refused HTTP requests. */
export type ErrorCode =
  /** Not JSON, or a missing or invalid field. */
  | "BAD_REQUEST"
  /** No such event. */
  | "UNKNOWN_EVENT"
  /** No such channel, token, chain or contract. */
  | "UNKNOWN_CHANNEL"
  /** A JWT is required, or the JWT is invalid. */
  | "UNAUTHORIZED"
  /** The JWT does not allow this channel. */
  | "FORBIDDEN"
  /** Too many requests; retry after `retryAfterMs`. */
  | "RATE_LIMITED"
  /** A limit of the session or of watched transactions and addresses is reached. */
  | "TOO_MANY_SUBSCRIPTIONS"
  /** The message exceeds the limit. */
  | "PAYLOAD_TOO_LARGE"
  /** The JWT has expired. */
  | "TOKEN_EXPIRED"
  /** The room has as many members as it may have. */
  | "ROOM_FULL"
  /** A failure of the server; retry. */
  | "INTERNAL";

/** The request failed. */
export interface Failed {
  /** Why it failed. */
  error: Refusal;
  /** Always false. */
  success: false;
}

/** 32 bytes in hex. */
export type Hash = string;

/** The state of the chains, of the price sources and of this session's channels, once a second. */
export interface Heartbeat {
  /** Server time, in ms. */
  timestamp: number;
  /** Number of the first chain's newest block; null before its first block. */
  head: number | null;
  /** State of each configured chain; null when it cannot be read now. */
  chains: ChainHealth[] | null;
  /** The newest seq of each channel of this session. A channel is not listed while its updates are being replayed. */
  seqs: Record<string, number>;
  /** Price sources without a fresh tick, and all sources on a chain that is down, at most 50; null when they cannot be read now. */
  staleSources: StaleSource[] | null;
  /** Number of further stale sources. */
  moreStaleSources?: number;
}

/** At most one update per channel in this many ms; 0 for no limit. */
export type Interval = 0 | 100 | 250 | 1000 | 5000;

/** A member of a room. */
export interface Member {
  /** The subject. */
  sub: string;
  /** What it shows to the others. */
  info: MemberInfo;
  /** The number of its sessions in the room. */
  sessions: number;
  /** When its first session entered, in ms since the Unix epoch. */
  since: number;
}

/** An object of at most 1,024 bytes, of any content. */
export type MemberInfo = Record<string, unknown>;

/** A subject entered the room with its first session. */
export interface MemberJoined {
  /** Who entered. */
  member: RoomMember;
  /** The number of members now. */
  count: number;
  /** Server time, in ms. */
  timestamp: number;
}

/** A subject left the room with its last session. */
export interface MemberLeft {
  /** Who left. */
  member: RoomMember;
  /** The number of members now. */
  count: number;
  /** Server time, in ms. */
  timestamp: number;
}

/** Who is in the room. */
export interface Members {
  /** In canonical form. */
  channel: string;
  /** Always true. */
  success: true;
  /** At most 1,000 of them. */
  members: Member[];
  /** The number of all members. */
  count: number;
}

/** Many members joined or left: replaces their single events while there are very many. */
export interface MembersChanged {
  /** Who entered, each once. */
  joined: RoomMember[];
  /** Who left, each once. */
  left: RoomMember[];
  /** The number of members now. */
  count: number;
  /** Server time, in ms. */
  timestamp: number;
}

/** Chosen by the sender: 1 to 128 bytes without control characters. */
export type MessageKey = string;

/** What the message is to the application: 1 to 64 bytes without control characters. */
export type MessageType = string;

/** Whether updates may be skipped for newer ones when the client is slow. */
export type Mode =
  /** A slow client gets the newest update instead of all of them. */
  | "latest"
  /** Every update, or the session ends. */
  | "all";

/** A block became the head of the canonical chain. */
export interface NewBlock {
  /** Height of the block. */
  number: number;
  /** Identifies the block and its branch. */
  hash: Hash;
  /** Hash of the block below. */
  parentHash: Hash;
  /** Server time of the update, in ms. */
  timestamp: number;
  /** The header's timestamp, in seconds. */
  blockTimestamp: number;
  /** Number of transactions. */
  transactions: number;
  /** The header's gas used; since Amsterdam it can differ from the sum of the receipts (EIP-7778, EIP-8037). */
  gasUsed: Quantity;
  /** The most gas that the block could use. */
  gasLimit: Quantity;
  /** In wei; null before EIP-1559. */
  baseFeePerGas: Quantity | null;
  /** EIP-155 chain id. */
  chainId: number;
}

/** Any JSON value, nested at most 64 levels deep. */
export type Payload = unknown;

/** The answer to `ping`. */
export interface Pong {
  /** Server time, in ms. */
  timestamp: number;
}

/** Asks who is in a room. */
export interface Presence {
  /** In any case. */
  channel: string;
}

/** A price alert of this user fired. A snapshot is a delivery that was unacknowledged when the client subscribed. */
export interface PriceAlert {
  /** Id of this delivery: clients acknowledge it, and use it to detect repetitions. */
  id: number;
  /** Id of the alert, as in the REST API. */
  alertId: number;
  /** The token whose price fired it. */
  token: Token;
  /** The side of `threshold` on which it fires. */
  condition: AlertCondition;
  /** In USD, for one whole token. */
  threshold: Decimal;
  /** The price that fired the alert. */
  price: Decimal;
  /** Status of that price: `ok`, or `degraded` for an alert with `fireOnDegraded`. */
  status: "ok" | "degraded";
  /** Server time of the announcement, in ms. */
  timestamp: number;
  /** The user's note. */
  note?: string;
}

/** The block that a tick was decoded from. */
export interface PriceBlock {
  /** EIP-155 chain id. */
  chainId: number;
  /** Height of the block. */
  number: number;
}

/** Why a price is not `ok`, as published and stored. */
export type PriceReason =
  /** Degraded: fewer venues than configured. */
  | "few_venues"
  /** Degraded: the confidence interval is too wide, because venues disagree or one is uncertain. */
  | "disagreement"
  /** Degraded: the price jumped at a single venue. */
  | "jump"
  /** Degraded: a tick was converted with a degraded rate. Stale: no rate is fresh. */
  | "rate"
  /** Stale: no tick is fresh. */
  | "old"
  /** Stale: otherwise fresh ticks belong to a chain whose node is down. */
  | "node_down";

/** How reliable a price is. */
export type PriceStatus =
  /** Enough fresh venues, and they agree. */
  | "ok"
  /** Fewer fresh venues than configured, disagreeing venues, a jump at a single venue, or a conversion rate with one of these problems. */
  | "degraded"
  /** No fresh source: the price is the last known one, and outdated. */
  | "stale";

/** The price of a token, or its status, changed. */
export interface PriceUpdate {
  /** The priced token. */
  token: Token;
  /** In the quote currency, for one whole token. */
  price: Decimal;
  /** Server time of the update, in ms. */
  timestamp: number;
  /** The quote currency. */
  quote: "USD";
  /** Possible error of the price, in the quote currency. */
  confidence: Decimal;
  /** Names of the sources that were used, sorted. */
  sources: string[];
  /** Age of the newest used tick when this was published, in ms. */
  ageMs: number;
  /** How reliable the price is. */
  status: PriceStatus;
  /** Every fresh source, by name. One that is neither used nor an outlier is on standby for another one of its venue. */
  details: PriceUpdateDetail[];
  /** Why the status is not `ok`; omitted if it is `ok`. */
  reason?: PriceReason;
}

/** One source of a published price. */
export interface PriceUpdateDetail {
  /** The source's name, unique within the token. */
  source: string;
  /** Age of its tick when this was published, in ms. */
  ageMs: number;
  /** The block of its tick; null for off-chain sources. */
  block: PriceBlock | null;
  /** Too far from the others to be used. */
  outlier: boolean;
}

/** Publishes a message to a room, to `user:SUB` or to `announcements`. It is stored, then delivered to every subscriber. */
export interface Publish {
  /** In any case. */
  channel: string;
  /** What the message is to the application. */
  type: MessageType;
  /** Whether this session gets the message too. If not, it knows the `seq` from the answer. */
  echo?: boolean;
  /** The same key of the same subject within 24 hours (`messages.key_retention_secs`) stores the message once: the answer has the `seq` of the first. */
  key?: MessageKey;
  /** Null by default. */
  payload?: Payload;
}

/** The message is stored. */
export interface Published {
  /** In canonical form. */
  channel: string;
  /** Always true. */
  success: true;
  /** The position of the message in the channel. */
  seq: number;
}

/** A decimal string: an unsigned integer that can exceed 2^53. */
export type Quantity = string;

/** Why a request, or one of its channels, was refused. */
export interface Refusal {
  /** For programs. */
  code: ErrorCode;
  /** For people, and may change: what is wrong and what to do. */
  message: string;
  /** Delay before the same request can succeed, in ms. */
  retryAfterMs?: number;
}

/** An `error` that names its channel. Only Socket.IO has it: a channel could not be joined or left, and the client requested no acknowledgement. */
export interface RefusedChannel {
  /** As requested, cut to 160 bytes. */
  channel: string;
  /** For programs. */
  code: ErrorCode;
  /** For people, and may change: what is wrong and what to do. */
  message: string;
  /** Delay before the same request can succeed, in ms. */
  retryAfterMs?: number;
}

/** Blocks left the canonical chain; the `new-block` events of the new branch follow. */
export interface Reorg {
  /** EIP-155 chain id. */
  chainId: number;
  /** Number of dropped blocks. */
  depth: number;
  /** The newest block that both branches have. */
  commonAncestor: BlockRef;
  /** Newest first. */
  dropped: BlockRef[];
  /** Server time, in ms. */
  timestamp: number;
}

/** Chosen by the client, of at most 128 bytes as JSON. */
export type RequestId = number | string;

/** The reason in a close frame with code 1001, as JSON text. */
export interface RetryAfter {
  /** Delay before a client should reconnect, in ms. */
  retryAfterMs: number;
}

/** A subject in a room, with what it shows to the others. */
export interface RoomMember {
  /** The subject. */
  sub: string;
  /** What it shows; `{}` if nothing. */
  info: MemberInfo;
}

/** A member of the room, or a backend, published a message. */
export interface RoomMessage {
  /** The sender's subject. */
  from: string;
  /** What the message is to the application. */
  type: MessageType;
  /** Null if the message was redacted. */
  payload: Payload;
  /** Server time, in ms. */
  timestamp: number;
  /** The sender's, if it gave one. */
  key?: MessageKey;
  /** Whether a moderator removed the payload and the key. Omitted if false. */
  redacted?: boolean;
}

/** A moderator redacted a message of the room: remove its text. */
export interface RoomRedacted {
  /** The seq of the redacted message. */
  redactedSeq: number;
  /** The moderator's subject. */
  by: string;
  /** Server time, in ms. */
  timestamp: number;
}

/** Somebody in the room sent a signal, such as "is typing". It is not stored and can be lost. */
export interface RoomSignal {
  /** The sender's subject. */
  from: string;
  /** What the message is to the application. */
  type: MessageType;
  /** The content, as sent. */
  payload: Payload;
  /** Server time, in ms. */
  timestamp: number;
}

/** Sends a signal, such as "is typing", to everybody in a room but the sender. It is not stored and can be lost. */
export interface Signal {
  /** In any case. */
  channel: string;
  /** What the message is to the application. */
  type: MessageType;
  /** Null by default. */
  payload?: Payload;
}

/** Where to resume: the last seq received. */
export type Since =
  /** The seq of the only channel. */
  | number
  /** Seqs by channel name, case-insensitive. */
  | Record<string, number>;

/** A source of a token's price that is stale. */
export interface StaleSource {
  /** Age of its newest tick, in ms; null if it never had one. */
  ageMs: number | null;
  /** The source's name, unique within the token. */
  source: string;
  /** The token that it prices. */
  token: Token;
}

/** The channels to subscribe to, either `channel` or `channels`, and the options of their subscriptions. */
export interface Subscribe {
  /** One channel, in any case. */
  channel?: string;
  /** Several channels, answered channel by channel; at most 100 (`limits.channels_per_request`). */
  channels?: string[];
  /** The epoch of `since`; the current one by default. */
  epoch?: string;
  /** Of rooms: what the other members see of this client; `{}` by default. */
  info?: MemberInfo;
  /** 0 by default; others need `latest`. */
  interval?: Interval;
  /** By default `latest` for prices, `all` otherwise. */
  mode?: Mode;
  /** Of rooms: whether to get `member-joined` and `member-left`. */
  presence?: boolean;
  /** The last seq received: every update after it follows instead of a snapshot. */
  since?: Since;
  /** Whether to send the current state first. */
  snapshot?: boolean;
}

/** The snapshot or the missed updates follow, then live updates. */
export interface Subscribed {
  /** In canonical form. */
  channel: string;
  /** Always true. */
  success: true;
  /** The channel's newest. */
  seq: number;
  /** Whether every update after `since` follows. */
  recovered: boolean;
}

/** One subscription of a session. */
export interface Subscription {
  /** In canonical form. */
  channel: string;
  /** As requested; 0 by default. */
  interval: Interval;
  /** As requested, or the default of the channel. */
  mode: Mode;
  /** The channel's newest. */
  seq: number;
}

/** The session's subscriptions. */
export interface Subscriptions {
  /** One for each subscribed channel. */
  channels: Subscription[];
  /** Always true. */
  success: true;
}

/** The symbol of a tracked token, such as ETH. */
export type Token = string;

/** The client's JWT expires soon: send a new one with `auth`. */
export interface TokenExpiring {
  /** When the session ends, in ms since the Unix epoch. */
  expiresAt: number;
  /** Time left until then. */
  expiresInMs: number;
}

/** The kind of a transferred asset: the native coin, or a token by the standard of its contract. */
export type TokenStandard =
  /** The native coin of the chain. */
  | "native"
  /** Amounts of one token. */
  | "ERC-20"
  /** Single tokens with ids. */
  | "ERC-721"
  /** Amounts of tokens with ids. */
  | "ERC-1155";

/** The outcome of a transaction in its receipt. */
export type TransactionResult =
  /** The receipt's status is 1. */
  | "success"
  /** The receipt's status is 0: its effects were reverted, its gas was paid. */
  | "failed";

/** State of a transaction. */
export type TransactionStatus =
  /** In no indexed block, and not reported by any node. */
  | "unknown"
  /** In the node's transaction pool. */
  | "pending"
  /** In a block that has fewer confirmations than configured. */
  | "included"
  /** Has the configured number of confirmations. */
  | "confirmed"
  /** In a block that is final. */
  | "finalized"
  /** Its block left the canonical chain. */
  | "reorged"
  /** Another transaction of the same sender and nonce is in a block. */
  | "replaced"
  /** The node no longer knows it. */
  | "dropped";

/** A new state of a transaction. */
export interface TransactionUpdate {
  /** Hash of the transaction that the channel names. */
  hash: Hash;
  /** The new state. */
  status: TransactionStatus;
  /** Server time, in ms. */
  timestamp: number;
  /** Hash of that block. */
  blockHash?: Hash;
  /** Its block; if `reorged`, the dropped block; if `replaced`, the block of the other transaction. */
  blockNumber?: number;
  /** The chain on which the transaction was found. */
  chainId?: number;
  /** Number of indexed blocks from its own up to the head: 1 in the head. */
  confirmations?: number;
  /** If `replaced`: hash of the other transaction. */
  replacedBy?: Hash;
  /** The status in its receipt; absent before Byzantium. */
  succeeded?: boolean;
  /** Position in that block, from 0. */
  transactionIndex?: number;
}

/** Where a transfer was found. */
export type TransferSource =
  /** In a log. */
  | "log"
  /** It is the transaction's own value, on a chain that does not log native transfers. */
  | "transaction";

/** The subscription ended, if there was one; or the signal was sent. */
export interface Unsubscribed {
  /** In canonical form. */
  channel: string;
  /** Always true. */
  success: true;
}

/** The user that a JWT authenticates. */
export interface User {
  /** Patterns of the channels that the JWT allows, where `*` matches any text; null for all public ones. */
  channels: string[] | null;
  /** When the session ends unless the JWT is renewed, in ms since the Unix epoch. */
  expiresAt: number;
  /** The claim `role` of the JWT; null without it. */
  role: string | null;
  /** The subject. */
  sub: string;
}

/** A message to this user. A snapshot is one that was unacknowledged when the client subscribed. */
export interface UserMessage {
  /** Id of this delivery: clients acknowledge it, and use it to detect repetitions. */
  id: number;
  /** The sender's subject. */
  from: string;
  /** What the message is to the application. */
  type: MessageType;
  /** The content, as sent. */
  payload: Payload;
  /** Server time, in ms. */
  timestamp: number;
  /** The sender's, if it gave one. */
  key?: MessageKey;
}

export interface SubscribeRequest {
  event: "subscribe";
  data: Subscribe;
  id?: RequestId;
}

export interface UnsubscribeRequest {
  event: "unsubscribe";
  data: ChannelNames;
  id?: RequestId;
}

export interface PingRequest {
  event: "ping";
  id?: RequestId;
}

export interface AuthRequest {
  event: "auth";
  data: Auth;
  id?: RequestId;
}

export interface SubscriptionsRequest {
  event: "subscriptions";
  id?: RequestId;
}

export interface AcknowledgeRequest {
  event: "acknowledge";
  data: Acknowledge;
  id?: RequestId;
}

export interface PublishRequest {
  event: "publish";
  data: Publish;
  id?: RequestId;
}

export interface SignalRequest {
  event: "signal";
  data: Signal;
  id?: RequestId;
}

export interface PresenceRequest {
  event: "presence";
  data: Presence;
  id?: RequestId;
}

export interface ConnectedMessage {
  event: "connected";
  data: Connected;
}

export interface AckMessage {
  event: "ack";
  data: Ack;
  /** The id of the answered request. */
  id?: RequestId;
}

export interface PongMessage {
  event: "pong";
  data: Pong;
  /** The id of the answered request. */
  id?: RequestId;
}

export interface ErrorMessage {
  event: "error";
  data: Refusal;
  /** The id of the answered request. */
  id?: RequestId;
}

export interface TokenExpiringMessage {
  event: "token-expiring";
  data: TokenExpiring;
}

export interface NewBlockMessage {
  event: "new-block";
  /** The canonical name: new-block or new-block:CHAIN_ID. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: NewBlock;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface ReorgMessage {
  event: "reorg";
  /** The canonical name: new-block or new-block:CHAIN_ID. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: Reorg;
}

export interface BlockFinalizedMessage {
  event: "block-finalized";
  /** The canonical name: new-block or new-block:CHAIN_ID. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: BlockFinalized;
}

export interface PriceUpdateMessage {
  event: "price-update";
  /** The canonical name: price:TOKEN. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: PriceUpdate;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface CandleUpdateMessage {
  event: "candle-update";
  /** The canonical name: candle:TOKEN:INTERVAL (1m, 5m, 15m, 1h, 4h or 1d). */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: CandleUpdate;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface TransactionUpdateMessage {
  event: "transaction-update";
  /** The canonical name: tx:HASH. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: TransactionUpdate;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface AddressTransactionMessage {
  event: "address-transaction";
  /** The canonical name: address:ADDRESS. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: AddressTransaction;
}

export interface AddressTransferMessage {
  event: "address-transfer";
  /** The canonical name: address:ADDRESS. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: AddressTransfer;
}

export interface AddressReorgMessage {
  event: "address-reorg";
  /** The canonical name: address:ADDRESS. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: AddressReorg;
}

export interface ContractEventMessage {
  event: "contract-event";
  /** The canonical name: contract:NAME or contract:NAME:EVENT. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: ContractEvent;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface ContractReorgMessage {
  event: "contract-reorg";
  /** The canonical name: contract:NAME or contract:NAME:EVENT. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: ContractReorg;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
}

export interface HeartbeatMessage {
  event: "heartbeat";
  /** The canonical name: heartbeat. */
  channel: "heartbeat";
  data: Heartbeat;
}

export interface PriceAlertMessage {
  event: "price-alert";
  /** The canonical name: user:SUBJECT. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: PriceAlert;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface UserMessageMessage {
  event: "user-message";
  /** The canonical name: user:SUBJECT. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: UserMessage;
  /** In `latest` mode: the seq of the previous message in this stream; 0 at its start. */
  prev?: number;
  /** Whether it is the state as of `seq`, for a new subscription. Omitted if false. */
  snapshot?: boolean;
}

export interface RoomMessageMessage {
  event: "room-message";
  /** The canonical name: room:NAME. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: RoomMessage;
}

export interface RoomRedactedMessage {
  event: "room-redacted";
  /** The canonical name: room:NAME. */
  channel: string;
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: RoomRedacted;
}

export interface RoomSignalMessage {
  event: "room-signal";
  /** The canonical name: room:NAME. */
  channel: string;
  data: RoomSignal;
}

export interface MemberJoinedMessage {
  event: "member-joined";
  /** The canonical name: room:NAME. */
  channel: string;
  data: MemberJoined;
}

export interface MemberLeftMessage {
  event: "member-left";
  /** The canonical name: room:NAME. */
  channel: string;
  data: MemberLeft;
}

export interface MembersChangedMessage {
  event: "members-changed";
  /** The canonical name: room:NAME. */
  channel: string;
  data: MembersChanged;
}

export interface AnnouncementMessage {
  event: "announcement";
  /** The canonical name: announcements. */
  channel: "announcements";
  /** The position of the update in its channel: 1, 2, 3, … without gaps. */
  seq: number;
  data: Announcement;
}

export type ClientMessage =
  | SubscribeRequest
  | UnsubscribeRequest
  | PingRequest
  | AuthRequest
  | SubscriptionsRequest
  | AcknowledgeRequest
  | PublishRequest
  | SignalRequest
  | PresenceRequest;

export type ServerMessage =
  | ConnectedMessage
  | AckMessage
  | PongMessage
  | ErrorMessage
  | TokenExpiringMessage
  | NewBlockMessage
  | ReorgMessage
  | BlockFinalizedMessage
  | PriceUpdateMessage
  | CandleUpdateMessage
  | TransactionUpdateMessage
  | AddressTransactionMessage
  | AddressTransferMessage
  | AddressReorgMessage
  | ContractEventMessage
  | ContractReorgMessage
  | HeartbeatMessage
  | PriceAlertMessage
  | UserMessageMessage
  | RoomMessageMessage
  | RoomRedactedMessage
  | RoomSignalMessage
  | MemberJoinedMessage
  | MemberLeftMessage
  | MembersChangedMessage
  | AnnouncementMessage;

/** The data of an event on Socket.IO and in event streams: with the channel and the position of its message. */
export type Pushed<Data> = Data & { channel: string; seq?: number; prev?: number; snapshot?: true };
