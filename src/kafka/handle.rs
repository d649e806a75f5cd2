//! One native client per cluster and credentials: a consumer that never subscribes, and the thread that
//! polls it. Opens and closes; the calls on it are in `ffi`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    client::NativeClient,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as ClientError,
};

use super::{
    ConfigError, ConnectionConfig, KafkaError, Purpose,
    signals::{Context, Signals},
};

/// Nobody joins under this name and nothing is ever committed for it. It must be there: admin calls
/// crash the process on a handle without a `group.id` when a coordinator moves (librdkafka issue 5040).
pub(super) const GROUP_ID: &str = "appmigration-operator";

/// The pause between two looks at the stop flag; error events are served at once.
const POLL: Duration = Duration::from_millis(100);

/// A consumer handle that is polled, so that its error events are served.
pub(super) struct Handle {
    consumer: Arc<BaseConsumer<Context>>,
    stop: Arc<AtomicBool>,
}

impl Handle {
    /// Makes the client and starts its thread. Returns before any broker was reached. Blocks for some
    /// milliseconds (CA files, threads): not for the async runtime.
    pub(super) fn open(config: &ConnectionConfig) -> Result<Arc<Self>, KafkaError> {
        let consumer = Arc::new(consumer(&mut config.client_config(Purpose::Operator))?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&consumer), Arc::clone(&stop));
        thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || poll_until_last(polled, &stopped))
            .map_err(|error| ConfigError::new("thread", error.to_string()))?;
        Ok(Arc::new(Self { consumer, stop }))
    }

    pub(super) fn native(&self) -> &NativeClient {
        self.consumer.client().native_client()
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.consumer.client().context().signals
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Polls until the handle is gone, then closes the client here: closing takes 100 ms and waits for a
/// pending DNS lookup, so it must not happen on the async runtime, where the last clone may be dropped.
fn poll_until_last(consumer: Arc<BaseConsumer<Context>>, stop: &AtomicBool) {
    while !(stop.load(Ordering::Acquire) && Arc::strong_count(&consumer) == 1) {
        // Nothing is assigned: what comes are events, and the context has taken them by now.
        let _ = consumer.poll(POLL);
    }
    drop(consumer);
}

/// A consumer for the operator's own use. Never shows a value of the configuration in its error.
pub(super) fn consumer(config: &mut ClientConfig) -> Result<BaseConsumer<Context>, KafkaError> {
    config
        .set("group.id", GROUP_ID)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config.create_with_context(Context::default()).map_err(|error| KafkaError::Config(refused(error)))
}

/// rdkafka's own message prints the property's value, which may be a key or a password.
fn refused(error: ClientError) -> ConfigError {
    match error {
        ClientError::ClientConfig(_, _, property, _) => {
            ConfigError::new(property, "the Kafka client refuses this value")
        }
        ClientError::ClientCreation(reason) => ConfigError::new("connection", reason),
        _ => ConfigError::new("connection", "the Kafka client refuses this configuration"),
    }
}
