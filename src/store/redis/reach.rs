//! How a Redis is reached: by its address, through the Sentinels that know its primary, or as a cluster.

use std::{path::PathBuf, time::Duration};

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
    cluster::{ClusterClient, ClusterClientBuilder},
};

use super::connection::Connection;
use crate::{
    config::{RedisAddress, RedisShape, RedisStore, Sentinels},
    identity::Secret,
};

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("ca_file: {} cannot be read", .0.display())]
    CaFile(PathBuf, #[source] std::io::Error),
    #[error("it cannot be prepared")]
    Settings(#[source] RedisError),
}

/// A connection, and where it leads if somebody else was asked for that.
#[derive(Clone)]
pub(super) struct Reached {
    pub(super) connection: Connection,
    pub(super) primary: Option<RedisAddress>,
}

/// The way to a Redis.
pub(super) struct Reach {
    shape: Shape,
    /// For one attempt to connect to one server.
    within: Duration,
}

enum Shape {
    Single(Client),
    Sentinel { sentinels: Vec<Client>, master: String, server: Server },
    Cluster(Box<ClusterClient>),
}

impl Reach {
    pub(super) fn new(settings: &RedisStore) -> Result<Self, LinkError> {
        let server = Server::new(settings)?;
        let client = |address| server.client(address).map_err(LinkError::Settings);
        let shape = match &settings.shape {
            RedisShape::Single(address) => Shape::Single(client(address)?),
            RedisShape::Cluster(nodes) => {
                let infos: Result<Vec<_>, _> = nodes.iter().map(|node| server.info(node)).collect();
                let mut builder = ClusterClientBuilder::new(infos.map_err(LinkError::Settings)?)
                    .connection_timeout(settings.connect_timeout)
                    .response_timeout(settings.timeout)
                    // An operation has no time for more, and a redirection is one.
                    .retries(3)
                    .min_retry_wait(5)
                    .max_retry_wait(50);
                if let Some(certificates) = server.certificates() {
                    builder = builder.certs(certificates);
                }
                Shape::Cluster(Box::new(builder.build().map_err(LinkError::Settings)?))
            }
            RedisShape::Sentinel(sentinels) => {
                let theirs = server.as_sentinel(sentinels);
                let clients = sentinels.addresses.iter().map(|address| theirs.client(address));
                Shape::Sentinel {
                    sentinels: clients.collect::<Result<_, _>>().map_err(LinkError::Settings)?,
                    master: sentinels.master.clone(),
                    server,
                }
            }
        };
        Ok(Self { shape, within: settings.connect_timeout })
    }

    /// Whether one connection leads to several servers, of which those that work are used while others do not.
    pub(super) fn is_many(&self) -> bool {
        matches!(self.shape, Shape::Cluster(_))
    }

    pub(super) async fn connect(&self) -> RedisResult<Reached> {
        let (connection, primary) = match &self.shape {
            Shape::Single(client) => (self.connect_to(client).await?, None),
            Shape::Sentinel { server, .. } => {
                let primary = self.primary().await?;
                (self.connect_to(&server.client(&primary)?).await?, Some(primary))
            }
            Shape::Cluster(client) => (Connection::Cluster(client.get_async_connection().await?), None),
        };
        Ok(Reached { connection, primary })
    }

    async fn connect_to(&self, client: &Client) -> RedisResult<Connection> {
        // Operations have their own limit, which counts the wait for a connection too.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.within)).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
    }

    /// Where the primary is. All Sentinels are asked: one that was cut off may still name the old one, and the highest
    /// epoch is the latest word.
    pub(super) async fn primary(&self) -> RedisResult<RedisAddress> {
        let Shape::Sentinel { sentinels, master, .. } = &self.shape else {
            return Err((ErrorKind::Client, "only Sentinels name a primary").into());
        };
        let asked = sentinels.iter().map(|sentinel| async {
            let ask = self.ask(sentinel, master);
            let late = |_| RedisError::from((ErrorKind::Io, "a Sentinel did not answer in time"));
            tokio::time::timeout(self.within / 2, ask).await.map_err(late).flatten()
        });
        let mut latest: RedisResult<(u64, RedisAddress)> =
            Err((ErrorKind::MasterNameNotFoundBySentinel, "no Sentinel names the primary").into());
        for answer in join_all(asked).await {
            match (&latest, &answer) {
                (Err(_), _) => latest = answer,
                (Ok((epoch, _)), Ok((later, _))) if later > epoch => latest = answer,
                _ => {}
            }
        }
        latest.map(|(_, primary)| primary)
    }

    async fn ask(&self, sentinel: &Client, master: &str) -> RedisResult<(u64, RedisAddress)> {
        let mut connection = self.connect_to(sentinel).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("MASTER").arg(master);
        let said: std::collections::HashMap<String, String> = command.query_async(&mut connection).await?;
        let number = |name: &str| said.get(name).and_then(|text| text.parse::<u64>().ok());
        let port = number("port").and_then(|port| u16::try_from(port).ok());
        match (said.get("ip"), port, number("config-epoch")) {
            (Some(host), Some(port), Some(epoch)) => Ok((epoch, RedisAddress { host: host.clone(), port })),
            _ => Err((ErrorKind::UnexpectedReturnType, "a Sentinel's answer cannot be read").into()),
        }
    }
}

/// How any one server is spoken to.
struct Server {
    tls: bool,
    /// Certificates of the only authorities that are believed.
    authorities: Option<Vec<u8>>,
    login: RedisConnectionInfo,
}

impl Server {
    fn new(settings: &RedisStore) -> Result<Self, LinkError> {
        if settings.tls {
            // No matter who began first: there is one provider in this build.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| LinkError::CaFile(path.clone(), error));
        Ok(Self {
            tls: settings.tls,
            authorities: settings.ca_file.as_ref().map(read).transpose()?,
            login: login(settings.username.as_ref(), settings.password.as_ref()).set_db(settings.database),
        })
    }

    /// The same way to a Sentinel, with its own user.
    fn as_sentinel(&self, sentinels: &Sentinels) -> Self {
        Self {
            tls: self.tls,
            authorities: self.authorities.clone(),
            login: login(sentinels.username.as_ref(), sentinels.password.as_ref()),
        }
    }

    fn info(&self, RedisAddress { host, port }: &RedisAddress) -> RedisResult<ConnectionInfo> {
        let (host, port) = (host.clone(), *port);
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        Ok(address.into_connection_info()?.set_redis_settings(self.login.clone()))
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.tls.then(|| TlsCertificates { client_tls: None, root_cert: self.authorities.clone() })
    }

    fn client(&self, address: &RedisAddress) -> RedisResult<Client> {
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(self.info(address)?, certificates),
            None => Client::open(self.info(address)?),
        }
    }
}

fn login(username: Option<&String>, password: Option<&Secret>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    login
}
