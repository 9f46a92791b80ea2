//! The bytes of a file on their way from the caller to the thread that reads them. Knows nothing of what is in them.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// What the caller gave.
pub(super) enum Given {
    /// The next bytes.
    Chunk(Bytes),
    /// The file is complete.
    End,
    /// The caller broke off; why.
    Broken(String),
}

/// The reading end. Blocking: for a thread of its own.
pub(super) struct Feed {
    given: mpsc::Receiver<Given>,
    chunk: Bytes,
    ended: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    read: AtomicU64,
    broken: OnceLock<String>,
}

/// Looks on while somebody else reads.
pub(super) struct Watch(Arc<Shared>);

/// A feed, and the way into it with room for `chunks`.
pub(super) fn channel(chunks: usize) -> (mpsc::Sender<Given>, Feed) {
    let (given, receiver) = mpsc::channel(chunks);
    (given, Feed { given: receiver, chunk: Bytes::new(), ended: false, shared: Arc::default() })
}

impl Feed {
    pub(super) fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }
}

impl Watch {
    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Why the caller broke off, if it did.
    pub(super) fn broken(&self) -> Option<&str> {
        self.0.broken.get().map(String::as_str)
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.ended {
            match self.given.blocking_recv() {
                Some(Given::Chunk(chunk)) => self.chunk = chunk,
                Some(Given::End) => self.ended = true,
                Some(Given::Broken(why)) => return Err(self.broke(why)),
                None => return Err(self.broke("the call ended".into())),
            }
        }
        let n = out.len().min(self.chunk.len());
        out[..n].copy_from_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        self.shared.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Feed {
    fn broke(&self, why: String) -> io::Error {
        // The first reason counts.
        let _ = self.shared.broken.set(why);
        io::ErrorKind::ConnectionAborted.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: Vec<Given>) -> (io::Result<Vec<u8>>, Watch) {
        let (sender, mut feed) = channel(given.len().max(1));
        given.into_iter().for_each(|given| assert!(sender.try_send(given).is_ok(), "room"));
        drop(sender);
        let watch = feed.watch();
        let mut bytes = Vec::new();
        (feed.read_to_end(&mut bytes).map(|_| bytes), watch)
    }

    #[test]
    fn chunks_join_up_to_the_end() {
        let chunk = |text: &'static str| Given::Chunk(Bytes::from_static(text.as_bytes()));
        let (bytes, watch) = read(vec![chunk("ab"), chunk(""), chunk("c"), Given::End]);
        assert_eq!(bytes.expect("reads"), b"abc");
        assert_eq!((watch.read(), watch.broken()), (3, None));
    }

    #[test]
    fn a_file_that_breaks_off_does_not_look_ended() {
        let (bytes, watch) = read(vec![Given::Chunk("ab".into()), Given::Broken("cancelled".into())]);
        assert!(bytes.is_err());
        assert_eq!(watch.broken(), Some("cancelled"));
        let (bytes, watch) = read(vec![Given::Chunk("ab".into())]);
        assert!(bytes.is_err() && watch.broken().is_some());
    }
}
