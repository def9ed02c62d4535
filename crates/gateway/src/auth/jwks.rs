//! A JSON Web Key Set (RFC 7517) from a file or a URL.
//!
//! A set at a URL is fetched again when a JWT names a key that is not in it, so that an issuer can rotate its keys, and
//! when it is old, so that a withdrawn key is no longer trusted. Fetches are bounded in rate, time and size: JWTs with
//! invented key ids cannot make this server flood the issuer.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    error::AuthError,
    key_file::{MAX_KEY_FILE_BYTES, read_bounded},
};
use chaincast_base::{Secret, tls};

/// A set older than this is fetched again for the next JWT.
const MAX_AGE: Duration = Duration::from_secs(600);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of keys in a set.
const MAX_KEYS: usize = 64;

/// The usable keys of a set.
pub(super) struct KeySet {
    current: Arc<ArcSwap<Loaded>>,
    remote: Option<Arc<RemoteSet>>,
}

struct Loaded {
    keys: Vec<(Option<String>, DecodingKey)>,
    at: Option<Instant>,
}

struct RemoteSet {
    url: Secret,
    client: reqwest::Client,
    algorithm: Algorithm,
    /// Shortest time between two fetches.
    reload: Duration,
    /// The keys of the [`KeySet`] that this belongs to.
    current: Arc<ArcSwap<Loaded>>,
    /// Start of the last fetch; locked during a fetch, so that there is one at a time.
    last_fetch: Arc<Mutex<Option<Instant>>>,
    /// Whether the last fetch failed, or none has been made.
    failing: AtomicBool,
}

impl KeySet {
    pub(super) fn from_file(path: &Path, algorithm: Algorithm) -> Result<Self, AuthError> {
        let unusable = |reason| AuthError::Keys {
            key: "jwks_file",
            place: path.display().to_string(),
            reason,
        };
        let text = read_bounded(path).map_err(|reason| AuthError::config("jwks_file", reason))?;
        let keys = parse(&text, algorithm).map_err(unusable)?;
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(Loaded {
                keys,
                at: Some(Instant::now()),
            })),
            remote: None,
        })
    }

    /// A set that is empty until [`KeySet::load`].
    pub(super) fn at_url(
        url: &Secret,
        algorithm: Algorithm,
        reload: Duration,
    ) -> Result<Self, AuthError> {
        metrics::describe_counter!(
            "chaincast_auth_jwks_failures_total",
            "Failed fetches of the key set"
        );
        metrics::counter!("chaincast_auth_jwks_failures_total").increment(0);
        let text = url.expose();
        let valid = reqwest::Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !valid {
            return Err(AuthError::config("jwks_url", "not an http(s) URL"));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config())
            .timeout(FETCH_TIMEOUT)
            .build()
            .map_err(|error| AuthError::config("jwks_url", error.to_string()))?;
        let current = Arc::new(ArcSwap::from_pointee(Loaded {
            keys: Vec::new(),
            at: None,
        }));
        let remote = RemoteSet {
            url: url.clone(),
            client,
            algorithm,
            reload,
            current: current.clone(),
            last_fetch: Arc::default(),
            failing: AtomicBool::new(true),
        };
        Ok(Self {
            current,
            remote: Some(Arc::new(remote)),
        })
    }

    /// Fetches the set, if it is at a URL.
    pub(super) async fn load(&self) -> Result<(), AuthError> {
        let Some(remote) = &self.remote else {
            return Ok(());
        };
        let mut last_fetch = remote.last_fetch.lock().await;
        *last_fetch = Some(Instant::now());
        remote.fetch().await
    }

    /// The keys that a JWT with this key id can be signed with. Fetches the set if none is known or the set is old.
    pub(super) async fn candidates(&self, kid: Option<&str>) -> Vec<DecodingKey> {
        let found = self.find(kid);
        let Some(remote) = &self.remote else {
            return found;
        };
        let loaded_at = self.current.load().at;
        if found.is_empty() {
            // A task that waited here for another task's fetch uses the keys of that fetch.
            let last_fetch = remote.last_fetch.clone().lock_owned().await;
            if self.current.load().at == loaded_at {
                remote.refetch(last_fetch).await;
            }
            return self.find(kid);
        }
        let old = loaded_at.is_none_or(|at| at.elapsed() > MAX_AGE);
        if old && let Ok(last_fetch) = remote.last_fetch.clone().try_lock_owned() {
            remote.refetch(last_fetch).await;
            return self.find(kid);
        }
        found
    }

    /// Whether a key may be missing because the issuer is unreachable.
    pub(super) fn is_failing(&self) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.failing.load(Ordering::Relaxed))
    }

    fn find(&self, kid: Option<&str>) -> Vec<DecodingKey> {
        let loaded = self.current.load();
        let fits = |id: &Option<String>| match (kid, id) {
            (Some(wanted), Some(id)) => wanted == id,
            // Without an id on either side the key must be tried.
            (None, _) | (Some(_), None) => true,
        };
        let keys = loaded.keys.iter().filter(|(id, _)| fits(id));
        keys.map(|(_, key)| key.clone()).collect()
    }
}

impl RemoteSet {
    /// Fetches the set unless the last fetch started less than `reload` ago. On failure the old keys stay.
    ///
    /// The fetch runs in its own task. Otherwise a client that disconnects would cancel it, and other clients would not
    /// get the new keys before the next fetch is allowed.
    async fn refetch(self: &Arc<Self>, mut last_fetch: OwnedMutexGuard<Option<Instant>>) {
        if last_fetch.is_some_and(|at| at.elapsed() < self.reload) {
            return;
        }
        *last_fetch = Some(Instant::now());
        let remote = self.clone();
        let fetching = tokio::spawn(async move {
            if let Err(error) = remote.fetch().await {
                metrics::counter!("chaincast_auth_jwks_failures_total").increment(1);
                tracing::warn!(%error, "cannot fetch the key set; keeping the old keys");
            }
            drop(last_fetch);
        });
        if let Err(error) = fetching.await {
            tracing::error!(%error, "the key set fetch was aborted; keeping the old keys");
        }
    }

    async fn fetch(&self) -> Result<(), AuthError> {
        let keys = async {
            let text = download(self).await?;
            parse(&text, self.algorithm)
        };
        let keys = keys.await;
        self.failing.store(keys.is_err(), Ordering::Relaxed);
        let keys = keys.map_err(|reason| AuthError::Keys {
            key: "jwks_url",
            place: self.url.redacted_url(),
            reason,
        })?;
        self.current.store(Arc::new(Loaded {
            keys,
            at: Some(Instant::now()),
        }));
        Ok(())
    }
}

async fn download(remote: &RemoteSet) -> Result<Vec<u8>, String> {
    // reqwest's errors contain the URL, which may hold a secret.
    let failed = |error: reqwest::Error| {
        tls::with_advice(
            tls::error_chain(&error.without_url()),
            tls::CA_FILE_VARIABLE,
        )
    };
    let request = remote.client.get(remote.url.expose());
    let response = request.send().await.map_err(failed)?;
    let mut response = response.error_for_status().map_err(failed)?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if text.len() + chunk.len() > MAX_KEY_FILE_BYTES as usize {
            return Err(format!("larger than {MAX_KEY_FILE_BYTES} bytes"));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

/// The signature keys of a set for the given algorithm; other keys are ignored.
fn parse(text: &[u8], algorithm: Algorithm) -> Result<Vec<(Option<String>, DecodingKey)>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set =
        serde_json::from_slice(text).map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("more than {MAX_KEYS} keys"));
    }
    let mut usable = Vec::new();
    for value in set.keys {
        // A set may contain keys of unsupported kinds.
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
            continue;
        };
        if is_for(&jwk, algorithm)
            && let Ok(key) = DecodingKey::from_jwk(&jwk)
        {
            usable.push((jwk.common.key_id, key));
        }
    }
    if usable.is_empty() {
        return Err(format!("no key for {algorithm:?}"));
    }
    Ok(usable)
}

fn is_for(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => {
            key.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    let named = jwk.common.key_algorithm;
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    kind && signs && named.is_none_or(|named| named == algorithm.into())
}
