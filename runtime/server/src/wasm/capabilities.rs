//! What the host offers beside `wasi:http` and `wasi:cli`: configuration, a key-value store, a log,
//! and numbers for policies.

use super::bindings::samovar::handler::{expiry, metrics};
use super::bindings::wasi::config::store as config;
use super::bindings::wasi::keyvalue::store::KeyResponse;
use super::bindings::wasi::keyvalue::{atomics, batch, store};
use super::bindings::wasi::logging::logging;
use super::guest::Guest;
use super::surroundings::Bucket;
use crate::clock;
use crate::logs::LogStream;
use samovar_keyvalue::Error;
use wasmtime::component::Resource;

/// Bytes of one logged message; the rest is left out.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

/// What a guest is told. Who reads the server's log learns more.
fn told<T>(result: Result<T, Error>) -> Result<T, store::Error> {
    result.map_err(|error| match error {
        Error::NoSuchStore { .. } => store::Error::NoSuchStore,
        error => store::Error::Other(error.to_string()),
    })
}

impl Guest {
    fn bucket(&mut self, bucket: &Resource<Bucket>) -> wasmtime::Result<samovar_keyvalue::Bucket> {
        Ok(self.table().get(bucket)?.0.clone())
    }
}

impl store::Host for Guest {
    fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        let Some(space) = &self.surroundings().keyvalue else {
            let message = "the server has no key-value store".to_owned();
            return Ok(Err(store::Error::Other(message)));
        };
        let bucket = space.bucket(&identifier);
        match told(bucket) {
            Ok(bucket) => Ok(Ok(self.table().push(Bucket(bucket))?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl store::HostBucket for Guest {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(told(self.bucket(&bucket)?.get(&key, clock::unix_ms())))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(told(self.bucket(&bucket)?.set(&key, value, clock::unix_ms()).await))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        Ok(told(self.bucket(&bucket)?.delete(&key, clock::unix_ms()).await))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        Ok(told(self.bucket(&bucket)?.exists(&key, clock::unix_ms())))
    }

    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Answer<KeyResponse> {
        let keys = self.bucket(&bucket)?.list_keys(cursor, clock::unix_ms());
        Ok(told(keys.map(|page| KeyResponse { keys: page.keys, cursor: page.cursor })))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        Ok(told(self.bucket(&bucket)?.increment(&key, delta, clock::unix_ms()).await))
    }
}

impl batch::Host for Guest {
    fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        Ok(told(self.bucket(&bucket)?.get_many(&keys, clock::unix_ms())))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        items: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        Ok(told(self.bucket(&bucket)?.set_many(items, clock::unix_ms()).await))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        Ok(told(self.bucket(&bucket)?.delete_many(keys, clock::unix_ms()).await))
    }
}

impl expiry::Host for Guest {
    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> Answer<()> {
        let bucket = self.bucket(&bucket)?;
        Ok(told(bucket.set_for(&key, value, ttl_ms, clock::unix_ms()).await))
    }

    fn ttl(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<u64>> {
        Ok(told(self.bucket(&bucket)?.ttl(&key, clock::unix_ms())))
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.surroundings().config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        let all = self.surroundings().config.iter();
        Ok(Ok(all.map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}

impl logging::Host for Guest {
    fn log(
        &mut self,
        level: logging::Level,
        context: String,
        message: String,
    ) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace => "TRACE",
            logging::Level::Debug => "DEBUG",
            logging::Level::Info => "INFO",
            logging::Level::Warn => "WARN",
            logging::Level::Error => "ERROR",
            logging::Level::Critical => "CRITICAL",
        };
        let colon = if context.is_empty() { "" } else { ": " };
        let mut text = format!("{level} {context}{colon}{message}");
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        self.output.log.push_text(self.output.replica, LogStream::Stderr, &text);
        Ok(())
    }
}

impl metrics::Host for Guest {
    fn gauge(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        if let Some(replica) = self.output.replica {
            self.surroundings().gauges.set(replica, &name, value);
        }
        Ok(())
    }

    fn load(&mut self, units: f64) -> wasmtime::Result<()> {
        if let Some(replica) = self.output.replica {
            self.surroundings().gauges.set_load(replica, units);
        }
        Ok(())
    }
}
