//! A file on its way to the node: one start, then chunks as the node takes them. It may not know what the node answers.
//!
//! A file that cannot be read to its end must not look like one that ended: the node would take its rows for all there are. So the
//! stream then stays open until the call is dropped, which the node sees as a cancelled call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use danso_proto::limits::CHUNK_BYTES;
use danso_proto::pb::admin::v1::import_request::Body;
use danso_proto::pb::admin::v1::{ImportRequest, ImportStart};
use futures_util::stream::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;

use super::PATIENCE;
use crate::connect;
use crate::context::Context;
use crate::exit::Failure;

/// What the reading side tells the waiting side.
#[derive(Debug, Default)]
struct Shared {
    /// Chunks that the node took.
    taken: AtomicU64,
    broken: std::sync::Mutex<Option<std::io::Error>>,
    broke: Notify,
}

/// The waiting side of a file on its way.
#[derive(Debug)]
pub(super) struct Feed {
    path: PathBuf,
    file_bytes: u64,
    shared: Arc<Shared>,
}

impl Feed {
    /// Opens the file, and makes the requests that carry it, the file's size filled in.
    pub(super) async fn open(
        path: &Path,
        mut start: ImportStart,
    ) -> Result<(Self, impl Stream<Item = ImportRequest> + Send + use<>), Failure> {
        let unreadable = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let metadata = file.metadata().await.map_err(unreadable)?;
        // A pipe has no size.
        let file_bytes = if metadata.is_file() { metadata.len() } else { 0 };
        let shared = Arc::new(Shared::default());
        start.file_bytes = file_bytes;
        let start = ImportRequest { body: Some(Body::Start(start)) };
        let chunks = chunks(file, shared.clone());
        let requests = futures_util::stream::once(async move { start }).chain(chunks);
        Ok((Self { path: path.into(), file_bytes, shared }, requests))
    }

    /// Size of the file; 0 when it has none.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Waits for the node. Ends early when the file cannot be read, or when the node neither took anything nor said anything for long.
    pub(super) async fn watch<T>(&self, ctx: &Context, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let before = self.shared.taken.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = self.shared.broke.notified() => return Err(self.broken()),
                () = tokio::time::sleep(PATIENCE) => {
                    if self.shared.taken.load(Ordering::Relaxed) == before {
                        return Err(connect::silent(ctx, PATIENCE));
                    }
                }
            }
        }
    }

    fn broken(&self) -> Failure {
        let mut broken = self.shared.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let error = broken.take().unwrap_or_else(|| std::io::ErrorKind::Other.into());
        Failure::Fault(anyhow::Error::new(error).context(format!("cannot read {} to its end", self.path.display())))
    }
}

fn chunks(file: impl AsyncRead + Unpin + Send, shared: Arc<Shared>) -> impl Stream<Item = ImportRequest> + Send {
    futures_util::stream::unfold((file, shared), |(mut file, shared)| async move {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await;
        match read {
            Ok(0) => None,
            Ok(_) => {
                shared.taken.fetch_add(1, Ordering::Relaxed);
                Some((ImportRequest { body: Some(Body::Chunk(chunk.into())) }, (file, shared)))
            }
            Err(error) => {
                *shared.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                shared.broke.notify_one();
                std::future::pending().await
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_goes_in_chunks_that_join_to_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.csv");
        let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 17).map(|i| i as u8).collect();
        std::fs::write(&path, &content).expect("writes");
        let (feed, requests) = Feed::open(&path, ImportStart::default()).await.expect("opens");
        assert_eq!(feed.file_bytes(), content.len() as u64);
        let requests: Vec<_> = requests.collect().await;
        assert!(matches!(&requests[0].body, Some(Body::Start(start)) if start.file_bytes == content.len() as u64));
        let mut joined = Vec::new();
        for request in &requests[1..] {
            let Some(Body::Chunk(chunk)) = &request.body else { panic!("a chunk") };
            assert!(chunk.len() <= CHUNK_BYTES);
            joined.extend_from_slice(chunk);
        }
        assert_eq!(joined, content);
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_does_not_look_ended() {
        struct Broken;
        impl AsyncRead for Broken {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Err(std::io::Error::other("bad sector")))
            }
        }
        let shared = Arc::new(Shared::default());
        let feed = Feed { path: "x".into(), file_bytes: 0, shared: shared.clone() };
        let mut chunks = std::pin::pin!(chunks(Broken, shared));
        let ctx = crate::context::Context {
            data: None,
            format: crate::output::Format::Table,
            lang: crate::lang::Lang::En,
            out: Box::new(Vec::new()),
            err: Box::new(Vec::new()),
            out_width: None,
            err_width: None,
            styled: false,
            interactive: false,
        };
        let failure = feed.watch(&ctx, chunks.next()).await.expect_err("breaks");
        assert!(format!("{:#}", anyhow::Error::new(failure)).contains("to its end"));
    }
}
