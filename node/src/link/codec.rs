//! Frames from and to protobuf. Packages are compressed here, outside everything signed.

use bytes::Bytes;
use danso_core::sync::{Durable, ForwardedReceipt, Frame, Head, Hello, Question, Refused, Reply};
use danso_proto::limits;
use danso_proto::package::{self, PACKAGE_ZSTD_LEVEL};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use prost::Message as _;

/// A frame as it goes over the wire.
pub fn to_pb(frame: Frame) -> pb::Frame {
    use pb::frame::Body;
    let body = match frame {
        Frame::Hello(hello) => Body::Hello(pb::Hello {
            protocol_max: *hello.protocol.end(),
            protocol_min: *hello.protocol.start(),
            software: hello.software,
            node: hello.node.to_string(),
            clock_ms: hello.clock_ms,
            heads: hello.heads,
        }),
        Frame::Heads(heads) => Body::Heads(pb::Heads { heads: heads.into_iter().map(head_to_pb).collect() }),
        Frame::Package(package) => {
            Body::Package(pb::PackageFrame { zstd: package::encode(&package, PACKAGE_ZSTD_LEVEL).into() })
        }
        Frame::Durable(durable) => Body::Durable(pb::Durable {
            log: durable.log.to_string(),
            size: durable.size,
            receipt: durable.receipt.unwrap_or_default(),
        }),
        Frame::Refused(refused) => Body::Refused(pb::Refused {
            log: refused.log.to_string(),
            sequence: refused.sequence,
            reason: refused.reason.code().into(),
            detail: refused.detail,
        }),
        Frame::Receipts(receipts) => Body::Receipts(pb::Receipts {
            receipts: receipts
                .into_iter()
                .map(|receipt| pb::ForwardedReceipt {
                    log: receipt.log.to_string(),
                    giver: receipt.giver.to_string(),
                    note: receipt.note,
                })
                .collect(),
        }),
        Frame::Question(question) => Body::Question(pb::Question {
            id: question.id,
            // A query of ours always reads back: it was encoded from this very message.
            query: danso_proto::pb::query::v1::Query::decode(question.query).ok(),
            nonce: Bytes::copy_from_slice(&question.nonce),
        }),
        Frame::Reply(reply) => Body::Reply(pb::Reply {
            id: reply.id,
            chunk: reply.chunk,
            more: reply.more,
            reason: reply.refusal.as_ref().map(|refusal| refusal.reason.code().to_owned()).unwrap_or_default(),
            detail: reply.refusal.map(|refusal| refusal.detail).unwrap_or_default(),
        }),
    };
    pb::Frame { body: Some(body) }
}

/// A frame as the core sees it.
///
/// # Errors
/// `malformed`, and what a package's bounds refuse.
pub fn from_pb(frame: pb::Frame) -> Result<Frame, Refusal> {
    use pb::frame::Body;
    let malformed = |what: &str| Refusal::new(Reason::Malformed, what);
    Ok(match frame.body.ok_or_else(|| malformed("a frame of an unknown kind"))? {
        Body::Hello(hello) => {
            if hello.software.len() > limits::TEXT_MAX {
                return Err(malformed("the software's name is too long"));
            }
            Frame::Hello(Hello {
                protocol: hello.protocol_min..=hello.protocol_max,
                software: hello.software,
                node: hello.node.parse()?,
                clock_ms: hello.clock_ms,
                heads: hello.heads,
            })
        }
        Body::Heads(heads) => {
            if heads.heads.len() > limits::HEADS_PER_FRAME {
                return Err(Refusal::new(Reason::TooLarge, "too many heads in a frame"));
            }
            Frame::Heads(heads.heads.into_iter().map(head_from_pb).collect::<Result<_, _>>()?)
        }
        Body::Package(package) => Frame::Package(package::decode(&package.zstd)?),
        Body::Durable(durable) => {
            Frame::Durable(Durable { log: durable.log.parse()?, size: durable.size, receipt: note(durable.receipt)? })
        }
        Body::Refused(refused) => {
            let (reason, detail) = reason(&refused.reason, refused.detail);
            Frame::Refused(Refused { log: refused.log.parse()?, sequence: refused.sequence, reason, detail })
        }
        Body::Receipts(receipts) => Frame::Receipts(
            receipts
                .receipts
                .into_iter()
                .map(|receipt| {
                    Ok(ForwardedReceipt {
                        log: receipt.log.parse()?,
                        giver: receipt.giver.parse()?,
                        note: note(receipt.note)?.unwrap_or_default(),
                    })
                })
                .collect::<Result<_, Refusal>>()?,
        ),
        Body::Question(question) => Frame::Question(Question {
            id: question.id,
            query: question.query.ok_or_else(|| malformed("a question without a query"))?.encode_to_vec().into(),
            nonce: question.nonce[..].try_into().map_err(|_| malformed("a nonce has 16 bytes"))?,
        }),
        Body::Reply(reply) => {
            if reply.chunk.len() > limits::CHUNK_BYTES {
                return Err(Refusal::new(Reason::TooLarge, "a chunk of an answer"));
            }
            let refusal = (!reply.reason.is_empty()).then(|| {
                let (reason, detail) = reason(&reply.reason, reply.detail);
                Refusal { reason, detail }
            });
            Frame::Reply(Reply { id: reply.id, chunk: reply.chunk, more: reply.more, refusal })
        }
    })
}

fn head_to_pb(head: Head) -> pb::Head {
    pb::Head {
        log: head.log.to_string(),
        size: head.size,
        root: Bytes::copy_from_slice(&head.root),
        checkpoint: head.checkpoint.unwrap_or_default(),
    }
}

fn head_from_pb(head: pb::Head) -> Result<Head, Refusal> {
    Ok(Head {
        log: head.log.parse()?,
        size: head.size,
        root: head.root[..].try_into().map_err(|_| Refusal::new(Reason::Malformed, "a root has 32 bytes"))?,
        checkpoint: note(head.checkpoint)?,
    })
}

fn note(text: String) -> Result<Option<String>, Refusal> {
    if text.len() > limits::NOTE_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, "a checkpoint or receipt"));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// A reason that a newer peer gives and this version does not know is told as it is.
fn reason(code: &str, mut detail: String) -> (Reason, String) {
    detail.truncate(detail.floor_char_boundary(limits::NOTE_MAX));
    match Reason::from_code(code) {
        Some(reason) => (reason, detail),
        None => (Reason::Internal, format!("{}: {detail}", code.chars().take(64).collect::<String>())),
    }
}
