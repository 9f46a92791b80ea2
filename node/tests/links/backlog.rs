//! A backlog that goes up in pieces: whoever holds the first of them only can prove what it holds.

use std::sync::Arc;

use danso_node::link::{self, OwnTrees};
use danso_node::pipeline::{Shown, Verdict};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::SoftwareSigner;
use danso_proto::ids::{LogId, Stream};
use danso_proto::package::Package;

use crate::bed::{Child, Node, Parent};

/// A piece of a log.
async fn piece(node: &Node, trees: &OwnTrees, log: &LogId, from: u64, entries: usize) -> Package {
    link::load(&node.context, trees, log, from, usize::MAX, entries).await.unwrap().unwrap()
}

/// What a piece's checkpoint says, and that its author signed it.
fn stated(node: &Node, package: &Package) -> Checkpoint {
    let note = checkpoint::parse(package.checkpoint.as_ref().expect("its author's word")).unwrap();
    let snapshot = node.context.pipeline.snapshot();
    let author = snapshot.directory().node(package.log.node()).unwrap();
    author.keys().verify_checkpoint(author.id(), &note).unwrap()
}

#[tokio::test]
async fn every_piece_ends_with_its_authors_word() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for _ in 0..9 {
        child.write().await;
    }
    let (log, trees) = (child.records(), OwnTrees::default());
    let mut from = 0;
    // Sizes that need not grow: a peer that was cut off asks again.
    for (at, entries) in [(0, 2), (2, 3), (0, 1), (5, 1), (6, 99)] {
        let package = piece(&child.node, &trees, &log, at, entries).await;
        let end = at + package.entries.len() as u64;
        let stated = stated(&child.node, &package);
        let anew = piece(&child.node, &OwnTrees::default(), &log, at, entries).await;
        assert_eq!((stated.size, anew.checkpoint), (end, package.checkpoint.clone()), "from {at}");
        if at == from {
            parent.node.receive(package).await;
            let row = parent.node.context.pipeline.snapshot().log(&log).cloned().unwrap();
            assert_eq!((row.head.size(), row.head.root()), (end, stated.root));
            from = end;
        }
    }
    assert_eq!(from, 9);
    // The parent passes on what it got; it does not speak for the author.
    assert_eq!(piece(&parent.node, &OwnTrees::default(), &log, 0, 4).await.checkpoint, None);
}

#[tokio::test]
async fn a_key_says_nothing_about_what_was_written_before_its_time() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for _ in 0..3 {
        child.write().await;
    }
    let (log, trees) = (child.records(), OwnTrees::default());
    let next = Arc::new(SoftwareSigner::from_secret(&[77; 32]));
    child.node.context.pipeline.rekey(next).await.unwrap();
    child.write().await;
    child.write().await;
    for (from, entries, is_stated) in [(0, 2, false), (2, 2, true), (4, 1, true)] {
        let package = piece(&child.node, &trees, &log, from, entries).await;
        assert_eq!(package.checkpoint.is_some(), is_stated, "{from}");
        parent.node.receive(child.node.package(&child.node.log(Stream::Directory)).await).await;
        parent.node.receive(package).await;
    }
    assert_eq!(parent.node.size(&log), 5);
}

#[tokio::test]
async fn a_copy_that_wrote_is_found_out_by_a_parent_that_holds_a_piece_only() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    let log = child.records();
    child.write().await;
    let twin = child.node.twin(7).await;
    for _ in 0..4 {
        child.write().await;
    }
    let trees = OwnTrees::default();
    // The line is cut after the first piece.
    parent.node.receive(piece(&child.node, &trees, &log, 0, 3).await).await;
    twin.close(210_001).await;
    let theirs = piece(&twin, &OwnTrees::default(), &log, 0, 2).await;
    let shown = Shown { log: log.clone(), by: child.node.me(), checkpoint: theirs.checkpoint.unwrap() };
    let verdict = parent.node.context.pipeline.shown(shown).await.unwrap();
    assert!(matches!(verdict, Verdict::Stopped(_)), "{verdict:?}");
    let row = parent.node.context.pipeline.snapshot().log(&log).cloned().unwrap();
    assert!(row.trouble.is_some(), "the log is stopped");
}
