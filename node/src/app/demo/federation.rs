//! The demo's nodes: real processes of this very binary, spoken to as an operator would, over their admin sockets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use danso_proto::limits;
use danso_proto::pb::admin::v1 as admin;
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use danso_proto::pb::query::v1 as query;
use danso_proto::pb::query::v1::query_service_client::QueryServiceClient;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use super::data;

/// A node of the demo.
pub(super) struct Member {
    unit: String,
    data: PathBuf,
    process: Child,
    channel: Channel,
}

/// The demo's nodes.
pub(super) struct Federation {
    members: BTreeMap<String, Member>,
    base: PathBuf,
    /// Removes the directory at the end, unless the user named it.
    _temporary: Option<tempfile::TempDir>,
}

/// Time for a node to be ready.
const READY: Duration = Duration::from_secs(30);
/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(20);
/// Time for a node to end when it is told to.
const END: Duration = Duration::from_secs(15);

impl Federation {
    /// Sets up the root and starts it.
    pub(super) async fn found(data: Option<PathBuf>) -> anyhow::Result<Self> {
        let (base, temporary) = match data {
            Some(base) => {
                std::fs::create_dir_all(&base).with_context(|| format!("cannot make {}", base.display()))?;
                ensure!(
                    std::fs::read_dir(&base)?.next().is_none(),
                    "{} is not empty; the demo needs a directory of its own",
                    base.display()
                );
                (base, None)
            }
            None => {
                let temporary =
                    tempfile::Builder::new().prefix("danso-demo-").tempdir().context("no temporary directory")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let units = base.join("units.csv");
        std::fs::write(&units, data::UNITS).context("cannot write the unit list")?;
        let mut federation = Self { members: BTreeMap::new(), base, _temporary: temporary };
        let dir = federation.base.join(data::ROOT);
        let mut init = program()?;
        init.arg("init").arg("--data").arg(&dir).args(["--unit", data::ROOT]).arg("--units").arg(&units);
        init.args(["--units-version", data::UNITS_VERSION, "--listen", &free_address()?]);
        finish(init).await.context("the root could not be set up")?;
        federation.start(data::ROOT).await?;
        Ok(federation)
    }

    /// Invites a node, joins it with the token, starts it.
    pub(super) async fn join(&mut self, unit: &str, parent: &str) -> anyhow::Result<admin::GetStatusResponse> {
        let invite = admin::CreateInviteRequest { unit: unit.into(), ..Default::default() };
        let token = self.member(parent)?.admin().create_invite(invite).await?.into_inner().token;
        let file = self.base.join(format!("{unit}.token"));
        std::fs::write(&file, token).context("cannot write a token")?;
        let mut join = program()?;
        join.arg("join").arg("--data").arg(self.base.join(unit)).arg("--token-file").arg(&file);
        join.args(["--listen", &free_address()?]);
        finish(join).await.with_context(|| format!("{unit} could not join"))?;
        self.start(unit).await?;
        self.member(unit)?.status().await
    }

    async fn start(&mut self, unit: &str) -> anyhow::Result<()> {
        let data = self.base.join(unit);
        let log = std::fs::File::create(self.base.join(format!("{unit}.log"))).context("cannot make a log file")?;
        let process = program()?
            .arg("run")
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a node")?;
        let socket = data.join("admin.sock");
        let channel = Endpoint::from_shared(format!("unix://{}", socket.display()))?.connect_lazy();
        let mut member = Member { unit: unit.into(), data, process, channel };
        let ready = async {
            while member.status().await.is_err() {
                if let Some(status) = member.process.try_wait()? {
                    bail!(
                        "the node of {unit} ended with {status}; see {}",
                        self.base.join(format!("{unit}.log")).display()
                    );
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(READY, ready)
            .await
            .with_context(|| format!("the node of {unit} is not ready in time"))??;
        self.members.insert(unit.into(), member);
        Ok(())
    }

    /// A node by its unit.
    pub(super) fn member(&self, unit: &str) -> anyhow::Result<&Member> {
        self.members.get(unit).with_context(|| format!("no node for {unit}"))
    }

    /// Ends all nodes in order, the leaves first.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        for (unit, _) in data::BELOW.iter().rev().chain([&(data::ROOT, "")]) {
            let Some(mut member) = self.members.remove(*unit) else { continue };
            if let Some(pid) = member.process.id() {
                // A signal by the shell's own tool: no unsafe code for one call.
                Command::new("kill").arg(pid.to_string()).status().await.context("cannot stop a node")?;
            }
            if tokio::time::timeout(END, member.process.wait()).await.is_err() {
                member.process.kill().await.context("cannot kill a node")?;
            }
        }
        Ok(())
    }
}

impl Member {
    pub(super) fn unit(&self) -> &str {
        &self.unit
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
            .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
            .max_encoding_message_size(limits::GRPC_MESSAGE_MAX)
    }

    pub(super) async fn status(&self) -> anyhow::Result<admin::GetStatusResponse> {
        Ok(self.admin().get_status(admin::GetStatusRequest {}).await?.into_inner())
    }

    /// Imports a file.
    pub(super) async fn import(&self, households: bool, text: &'static str) -> anyhow::Result<admin::ImportSummary> {
        use admin::import_request::Body as Request;
        use admin::import_response::Body as Response;
        let form = if households { admin::Form::Households } else { admin::Form::Changes };
        let start = admin::ImportStart {
            form: form as i32,
            file_name: if households { "households.csv" } else { "changes.csv" }.into(),
            dry_run: false,
            lang: "en".into(),
            file_bytes: text.len() as u64,
        };
        let chunks =
            text.as_bytes().chunks(limits::CHUNK_BYTES).map(|chunk| Request::Chunk(bytes::Bytes::from_static(chunk)));
        let requests: Vec<admin::ImportRequest> = [Request::Start(start)]
            .into_iter()
            .chain(chunks)
            .map(|body| admin::ImportRequest { body: Some(body) })
            .collect();
        let mut responses = self.admin().import(tokio_stream::iter(requests)).await?.into_inner();
        while let Some(response) = responses.message().await? {
            if let Some(Response::Summary(summary)) = response.body {
                return Ok(summary);
            }
        }
        bail!("the import ended without a summary")
    }

    /// Waits until all own entries are receipted at a tier.
    pub(super) async fn wait_receipt(&self, tier: &str, timeout: Duration) -> anyhow::Result<()> {
        let request = admin::WaitReceiptRequest { tier: tier.into(), timeout_ms: timeout.as_millis() as u64 };
        let done = self.admin().wait_receipt(request).await?.into_inner();
        ensure!(done.complete, "{} has no receipt from above after {} s", self.unit, timeout.as_secs());
        Ok(())
    }

    pub(super) async fn receipts(&self) -> anyhow::Result<Vec<admin::Receipt>> {
        let request = admin::ListReceiptsRequest { log: String::new() };
        Ok(self.admin().list_receipts(request).await?.into_inner().receipts)
    }

    /// Pulls an aggregate.
    pub(super) async fn pull(
        &self,
        query: query::Query,
        source: query::Source,
    ) -> anyhow::Result<(query::AnswerHeader, Vec<query::Cell>)> {
        let request = query::PullAggregateRequest { query: Some(query), source: source as i32 };
        let mut client =
            QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(limits::GRPC_MESSAGE_MAX);
        let mut stream = client.pull_aggregate(request).await?.into_inner();
        let (mut header, mut cells) = (None, Vec::new());
        while let Some(message) = stream.message().await? {
            header = message.header.or(header);
            cells.extend(message.cells);
        }
        Ok((header.context("an answer without a header")?, cells))
    }

    /// The ids of the logs that are here.
    pub(super) async fn logs(&self) -> anyhow::Result<Vec<admin::LogState>> {
        Ok(self.admin().list_logs(admin::ListLogsRequest {}).await?.into_inner().logs)
    }

    /// The envelopes of a log.
    pub(super) async fn entries(&self, log: &str) -> anyhow::Result<Vec<bytes::Bytes>> {
        let request = admin::ReadLogRequest { log: log.into(), from: 0, to: 0 };
        let mut stream = self.admin().read_log(request).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(entry) = stream.message().await? {
            entries.push(entry.envelope);
        }
        Ok(entries)
    }

    /// A proof file.
    pub(super) async fn prove(&self, log: &str, sequence: u64) -> anyhow::Result<bytes::Bytes> {
        let request = admin::ProveEntryRequest { log: log.into(), sequence, receipts: false };
        Ok(self.admin().prove_entry(request).await?.into_inner().file)
    }
}

fn program() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program")?))
}

/// An address that nobody uses now.
fn free_address() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.to_string())
}

async fn finish(mut command: Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().await.context("cannot start a program")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
