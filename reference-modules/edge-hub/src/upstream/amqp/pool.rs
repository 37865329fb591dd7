//! The one connection, opened when somebody needs it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fe2o3_amqp::Session;
use fe2o3_amqp::connection::{Connection, ConnectionHandle};
use fe2o3_amqp::session::SessionHandle;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::alive::Alive;
use super::cbs::Cbs;
use crate::identity::ClientId;
use crate::percent::escape;
use crate::scope::client::own_token;
use crate::upstream::Context;

const PORT: u16 = 5671;

/// After how much silence IoT Hub is taken for gone, in milliseconds.
const IDLE_MILLIS: u32 = 60_000;

/// How long a token is used, of the hour that it lasts.
const TOKEN_SHARED: Duration = Duration::from_secs(30 * 60);

/// The connection, if it stands, and the token all use.
#[derive(Default)]
pub struct Pool {
    standing: Mutex<Option<Standing>>,
    token: Mutex<Option<(String, Instant)>>,
}

struct Standing {
    connection: ConnectionHandle<()>,
    alive: Alive,
    cbs: Arc<Cbs>,
}

impl Pool {
    /// A session for an identity, which IoT Hub knows of.
    ///
    /// # Errors
    /// When IoT Hub cannot be reached, or does not let the identity in.
    pub async fn enter(&self, context: &Context, client: &ClientId) -> io::Result<(SessionHandle<()>, Alive)> {
        let (cbs, alive, session) = self.begin(context).await?;
        let token = self.token(context).await?;
        alive.during(cbs.put_token(&audience(context, client), &token)).await?;
        Ok((session, alive))
    }

    /// A new token for an identity that has a session.
    ///
    /// # Errors
    /// As [`Pool::enter`].
    pub async fn renew(&self, context: &Context, client: &ClientId) -> io::Result<()> {
        let standing =
            self.standing.lock().await.as_ref().map(|standing| (standing.cbs.clone(), standing.alive.clone()));
        let (cbs, alive) = standing.ok_or(io::ErrorKind::NotConnected)?;
        let token = self.token(context).await?;
        alive.during(cbs.put_token(&audience(context, client), &token)).await
    }

    async fn begin(&self, context: &Context) -> io::Result<(Arc<Cbs>, Alive, SessionHandle<()>)> {
        let mut standing = self.standing.lock().await;
        if standing.as_ref().is_none_or(|standing| standing.connection.is_closed()) {
            *standing = None;
            *standing = Some(Standing::open(context).await?);
        }
        let Some(Standing { connection, alive, cbs }) = standing.as_mut() else { unreachable!("it was just opened") };
        let session = alive.during(async { Session::begin(connection).await.map_err(io::Error::other) }).await?;
        Ok((cbs.clone(), alive.clone(), session))
    }

    /// The hub's own token, which speaks for everybody behind it.
    async fn token(&self, context: &Context) -> io::Result<String> {
        let mut token = self.token.lock().await;
        if let Some((token, since)) = token.as_ref() {
            if since.elapsed() < TOKEN_SHARED {
                return Ok(token.clone());
            }
        }
        let fresh = own_token(&context.workload, &context.settings).await?;
        *token = Some((fresh.clone(), Instant::now()));
        Ok(fresh)
    }
}

impl Standing {
    async fn open(context: &Context) -> io::Result<Standing> {
        let host = context.settings.identity.upstream_host();
        let (alive, stream) = Alive::watch(context.dial(PORT, "AMQPWSB10").await?);
        let mut connection = Connection::builder()
            .container_id(Uuid::new_v4().simple().to_string())
            .hostname(host)
            .max_frame_size(65_536)
            .channel_max(8191)
            .idle_time_out(IDLE_MILLIS)
            .open_with_stream(stream)
            .await
            .map_err(io::Error::other)?;
        let cbs = Arc::new(alive.during(Cbs::open(&mut connection)).await?);
        Ok(Standing { connection, alive, cbs })
    }
}

/// What a token is for: the identity that is to be let in, not the one whose token it is.
fn audience(context: &Context, client: &ClientId) -> String {
    let device = escape(&client.device);
    let host = context.settings.identity.upstream_host();
    match &client.module {
        Some(module) => format!("{host}/devices/{device}/modules/{}", escape(module)),
        None => format!("{host}/devices/{device}"),
    }
}
