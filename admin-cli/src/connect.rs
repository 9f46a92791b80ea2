//! The way to the node: its unix socket, with bounds and deadlines set. It may not know what is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use danso_proto::limits::{GRPC_MESSAGE_MAX, OPERATOR_MESSAGE_MAX};
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use danso_proto::pb::query::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::context::Context;
use crate::exit::Failure;
use crate::lang::Lang;

/// How long a node may take to accept, and to answer a question that it answers from memory or a few rows.
pub const PROMPT: Duration = Duration::from_secs(30);
/// How long a node may be silent on a stream that it works on: committing, reading a large file, asking its children.
pub const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The socket of the node whose data directory is `data`.
pub fn socket(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

async fn channel(ctx: &Context) -> Result<Channel, Failure> {
    let Some(data) = &ctx.data else {
        let missing = ctx
            .lang
            .of("thiếu --data DIR: thư mục dữ liệu của nút", "--data DIR is missing: the data directory of the node");
        return Err(Failure::Usage(missing.into()));
    };
    let socket = socket(data);
    let Some(path) = socket.to_str() else {
        let why = ctx.lang.of("đường dẫn không phải UTF-8", "the path is not UTF-8");
        return Err(Failure::Usage(format!("--data: {why}: {}", socket.display())));
    };
    let endpoint = Endpoint::from_shared(format!("unix://{path}"))
        .map_err(|e| Failure::Usage(format!("--data: {e}")))?
        .connect_timeout(PROMPT);
    endpoint.connect().await.map_err(|error| {
        let why = io_cause(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Failure::Unavailable(match ctx.lang {
            Lang::Vi => format!(
                "không có nút nào trả lời tại {path} ({why}). Hãy khởi động: danso-node run --data {}",
                data.display()
            ),
            Lang::En => {
                format!("no node answers at {path} ({why}). Start it: danso-node run --data {}", data.display())
            }
        })
    })
}

/// The I/O error at the bottom of a transport error: the only part of it that tells people something.
fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a std::io::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        at = error.source();
    }
    None
}

/// A client of the node's admin service.
pub async fn admin(ctx: &Context) -> Result<AdminServiceClient<Channel>, Failure> {
    Ok(AdminServiceClient::new(channel(ctx).await?)
        .max_decoding_message_size(OPERATOR_MESSAGE_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_MAX))
}

/// A client of the node's query service.
pub async fn query(ctx: &Context) -> Result<QueryServiceClient<Channel>, Failure> {
    Ok(QueryServiceClient::new(channel(ctx).await?)
        .max_decoding_message_size(GRPC_MESSAGE_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_MAX))
}

/// The answer to a call, within `limit`.
pub async fn within<T>(
    ctx: &Context,
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(silent(ctx, limit)),
    }
}

/// The next message of a stream, if the node does not fall silent for longer than [`SILENCE_MAX`].
pub async fn next<T>(ctx: &Context, stream: &mut tonic::Streaming<T>) -> Result<Option<T>, Failure> {
    match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
        Ok(message) => Ok(message?),
        Err(_) => Err(silent(ctx, SILENCE_MAX)),
    }
}

/// All messages of a stream that is short by its nature.
pub async fn collect<T>(ctx: &Context, mut stream: tonic::Streaming<T>) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    while let Some(message) = next(ctx, &mut stream).await? {
        all.push(message);
    }
    Ok(all)
}

/// The failure of a node that did not say anything for `limit`.
pub fn silent(ctx: &Context, limit: Duration) -> Failure {
    let limit = humantime::format_duration(limit);
    Failure::Unavailable(match ctx.lang {
        Lang::Vi => format!("nút không trả lời trong {limit}. Hãy xem nhật ký của nút, rồi thử lại"),
        Lang::En => format!("the node did not answer within {limit}. Look at the node's log, then try again"),
    })
}
