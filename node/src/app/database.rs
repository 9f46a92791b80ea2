//! The node's database, where the configuration says that it is: a file in its directory, or on a server.

use std::path::Path;

use danso_proto::ids::NodeId;
use danso_proto::refusal::{Reason, Refusal};

use super::Error;
use crate::config::{Config, ConfigError, Layout, Problem, Server};
use crate::store::{OpenedToLook, Place, Store};
use crate::{files, keys};

/// Name of the credential that systemd passes (`LoadCredential=`), where no file is configured.
const CREDENTIAL: &str = "store-password";

/// Opens the database; without a server it is the file.
///
/// # Errors
/// When it cannot be opened, or the password not be read.
pub(super) async fn open(layout: &Layout, server: Option<&Server>) -> Result<Store, Error> {
    match server {
        None => Ok(Store::open(&layout.database()).await?),
        Some(server) => {
            let password = password(layout, server)?;
            Ok(Store::open_server(&server.address, password, &layout.database(), keys::random_bytes()).await?)
        }
    }
}

/// Refuses a database on a server in which there is something else than this node, before its writing is taken over: of a node that runs, that
/// would be the end.
///
/// # Errors
/// `already_joined`; when the server cannot be looked at.
pub(super) async fn is_free(layout: &Layout, server: Option<&Server>, node: &NodeId) -> Result<(), Error> {
    let Some(server) = server else { return Ok(()) };
    let store = look_at(layout, server).await?;
    let place = async { store.read("look").await?.place().await }.await;
    store.close_unsealed().await;
    let holds = match place? {
        Place::Empty => return Ok(()),
        // It goes on where it was cut.
        Place::Taken { node: Some(there) } if there == node.as_str() => return Ok(()),
        Place::Taken { node: None } => "something else than a node".to_owned(),
        Place::Taken { node: Some(there) }
        | Place::Copying { node: there, .. }
        | Place::Proven { node: there }
        | Place::Moved { node: there, .. } => format!("the node {there}"),
    };
    let detail =
        format!("the database {} is not empty, it holds {holds}; make one for this node alone", server.address);
    Err(Refusal::new(Reason::AlreadyJoined, detail).into())
}

/// As [`open`], also one that a node was moved away from, or that one is being moved into.
pub(super) async fn open_to_move(layout: &Layout, server: Option<&Server>) -> Result<Store, Error> {
    match server {
        None => Ok(Store::open_to_move(&layout.database()).await?),
        Some(server) => {
            let password = password(layout, server)?;
            Ok(Store::open_server_to_move(&server.address, password, &layout.database(), keys::random_bytes()).await?)
        }
    }
}

/// Opens the database on a server to look at it, whatever it holds: nothing is written.
pub(super) async fn look_at(layout: &Layout, server: &Server) -> Result<Store, Error> {
    let password = password(layout, server)?;
    Ok(Store::open_server_to_look(&server.address, password, &layout.database()).await?)
}

/// As [`open`], where the node's configuration says.
pub(super) async fn of(layout: &Layout) -> Result<Store, Error> {
    open(layout, Config::load(&layout.config())?.server.as_ref()).await
}

/// Opens it to look at it, while the node does not run: nothing is written.
///
/// # Errors
/// When the password cannot be read. That the database cannot be opened is for who looks.
pub(super) async fn to_look(layout: &Layout) -> Result<OpenedToLook, Error> {
    Ok(match server(layout) {
        None => Store::open_to_look(&layout.database()).await.map(|(store, says)| (store, Some(says))),
        Some(server) => {
            let password = password(layout, &server)?;
            let store = Store::open_server_to_look(&server.address, password, &layout.database()).await;
            store.map(|store| (store, None))
        }
    })
}

/// Whether the configuration says that it is on a server. Whatever else is wrong with the configuration is said by those who need it.
pub(super) fn is_on_server(layout: &Layout) -> bool {
    server(layout).is_some()
}

/// The server that the configuration names.
pub(super) fn server(layout: &Layout) -> Option<Server> {
    Config::load(&layout.config()).ok()?.server
}

/// Refuses a verb that works on the file, of a node whose database is on a server.
pub(super) fn is_file(layout: &Layout, instead: &str) -> Result<(), Error> {
    match server(layout) {
        None => Ok(()),
        Some(server) => {
            let detail = format!("the database of this node is on a server ({}): {instead}", server.address);
            Err(Refusal::new(Reason::RequestInvalid, detail).into())
        }
    }
}

/// The password, if there is one: from the configured file, else from the service manager's credential. A server on this machine may know
/// its users without.
fn password(layout: &Layout, server: &Server) -> Result<Option<String>, Error> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let file = match (&server.password_file, credentials) {
        (Some(file), _) => layout.dir().join(file),
        (None, Some(dir)) if Path::new(&dir).join(CREDENTIAL).exists() => Path::new(&dir).join(CREDENTIAL),
        (None, _) => return Ok(None),
    };
    files::secret_line(&file).map(Some).map_err(|error| {
        let why = format!(
            "{}: {error}; write the password into its first line, and let only the node's user read it (chmod 600)",
            file.display()
        );
        let problems = vec![Problem { key: "store.password_file", why }];
        ConfigError::Invalid { path: layout.config(), problems }.into()
    })
}
