//! One connection to the backend: TCP, a unix socket or TLS, and the question to sentinels who is master.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use pingora::tls::ClientConfig;
use pingora::tls::RootCertStore;
use pingora::tls::ServerName;
use pingora::tls::TlsConnector;
use pingora::tls::install_default_crypto_provider;
use pingora::tls::load_platform_certs_incl_env_into_store;
use redis::AsyncConnectionConfig;
use redis::RedisConnectionInfo;
use redis::aio::MultiplexedConnection;
use secrecy::ExposeSecret;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config::ClientTls;
use crate::config::CoordinationConfig;
use crate::config::Login;
use crate::config::SentinelConfig;
use crate::config::ServerAddress;
use crate::coordination::away::Away;
use crate::tls::pem;
use crate::tls::pem::Identity;
use crate::tls::pem::TlsError;

/// A connection, and what moves its bytes for as long as it is polled.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// To the server that is to be written.
pub(super) async fn dial(config: &CoordinationConfig) -> Result<Dialled, Away> {
    // Read each time, so certificates may be replaced.
    let tls = config
        .tls
        .as_ref()
        .map(load)
        .transpose()
        .map_err(Away::Tls)?;
    let to_sentinels = match &config.sentinel {
        Some(sentinel) if sentinel.is_secured => match &tls {
            Some(tls) => Some(tls.clone()),
            None => Some(load(&ClientTls::default()).map_err(Away::Tls)?),
        },
        Some(_) | None => None,
    };
    let mut why = Away::NoMaster;
    for server in &config.servers {
        let attempt = async {
            let Some(sentinel) = &config.sentinel else {
                let stream = open(server, tls.as_ref()).await?;
                return log_in(stream, &config.login, config.db).await;
            };
            let stream = open(server, to_sentinels.as_ref()).await?;
            let master = master_by(stream, sentinel).await?;
            let stream = open(&master, tls.as_ref()).await?;
            let mut dialled = log_in(stream, &config.login, config.db).await?;
            // A sentinel that was cut off names the master of before.
            is_master(&mut dialled).await?;
            Ok(dialled)
        };
        // Each has its own clock: one that is switched off, or names a master that is, must not cost the others their turn.
        let dialled = timeout(config.connect_timeout, attempt).await;
        match dialled.unwrap_or(Err(Away::Late)) {
            Ok(dialled) => return Ok(dialled),
            Err(error) => why = error,
        }
    }
    Err(why)
}

async fn log_in(stream: Box<dyn Stream>, login: &Login, db: u16) -> Result<Dialled, Away> {
    let mut info = RedisConnectionInfo::default().set_db(db.into());
    if let Some(username) = &login.username {
        info = info.set_username(username);
    }
    if let Some(password) = &login.password {
        info = info.set_password(password.expose_secret());
    }
    // Each command is bounded where it is asked.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, config).await?;
    Ok(Dialled {
        connection,
        driver: Box::pin(driver),
    })
}

/// Whom a sentinel takes for the master.
async fn master_by(
    stream: Box<dyn Stream>,
    sentinel: &SentinelConfig,
) -> Result<ServerAddress, Away> {
    let mut dialled = log_in(stream, &sentinel.login, 0).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(&sentinel.master);
    let found: Option<(String, u16)> = answer(&mut dialled, &command).await?;
    let (host, port) = found.ok_or(Away::NoMaster)?;
    Ok(ServerAddress::Tcp { host, port })
}

async fn is_master(dialled: &mut Dialled) -> Result<(), Away> {
    let role: Vec<redis::Value> = answer(dialled, &redis::cmd("ROLE")).await?;
    match role.first() {
        Some(redis::Value::BulkString(word)) if word == b"master" => Ok(()),
        _ => Err(Away::ReadOnly),
    }
}

/// The answer to one command, before anybody else drives the connection.
async fn answer<T: redis::FromRedisValue>(
    Dialled { connection, driver }: &mut Dialled,
    command: &redis::Cmd,
) -> Result<T, Away> {
    tokio::select! {
        answer = command.query_async(connection) => Ok(answer?),
        () = driver => Err(Away::Lost),
    }
}

async fn open(server: &ServerAddress, tls: Option<&TlsConnector>) -> Result<Box<dyn Stream>, Away> {
    let unreachable = |error: std::io::Error| Away::Unreachable(error.kind());
    let (host, port) = match server {
        ServerAddress::Unix(path) => {
            return Ok(Box::new(
                UnixStream::connect(path).await.map_err(unreachable)?,
            ));
        }
        ServerAddress::Tcp { host, port } => (host.as_str(), *port),
    };
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(unreachable)?;
    // A claim is a few bytes that somebody waits for.
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned())
            .map_err(|_| Away::Unreachable(std::io::ErrorKind::InvalidInput))?,
    };
    Ok(Box::new(
        tls.connect(name, stream).await.map_err(unreachable)?,
    ))
}

/// Reads the files.
pub(super) fn load(tls: &ClientTls) -> Result<TlsConnector, TlsError> {
    // Without a process-wide provider the builder panics.
    install_default_crypto_provider();
    let mut roots = RootCertStore::empty();
    match &tls.cafile {
        Some(path) => {
            for authority in pem::certificates(path)? {
                roots.add(authority).map_err(|_| {
                    TlsError::new(path, "holds a certificate that is no authority's")
                })?;
            }
        }
        None => load_platform_certs_incl_env_into_store(&mut roots)
            .map_err(|_| TlsError::new(std::path::Path::new("/etc/ssl/certs"), "cannot be read"))?,
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match &tls.certfile {
        None => config.with_no_client_auth(),
        Some(certfile) => {
            let keyfile = tls.keyfile.as_deref().unwrap_or(certfile);
            let identity = Identity::read(certfile, keyfile)?;
            config
                .with_client_auth_cert(identity.chain, identity.key)
                .map_err(|_| TlsError::new(certfile, "cannot be used as a client certificate"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
