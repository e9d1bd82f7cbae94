//! The legacy stores: what proves a person before they are in Scalekit.
//!
//! Each kind of source is a [`LegacyStore`]: `okta`, `stormpath` and `endpoint` ask a service, `sql` and `hash_file`
//! find a row and judge its hash, `upstream` knows nothing because the application itself judges. What rows have in
//! common is in `record` (columns to a record, from `cells`) and `passwords` (one hash for everybody, states after it),
//! what services have in common in
//! `credential` and `failure`. Nothing here may turn a fault into a yes or a no, or put a
//! password, a hash or an address into a log. Start reading at [`build`].

mod cells;
mod credential;
mod endpoint;
pub(crate) mod exported;
mod failure;
mod hash_file;
mod names;
mod okta;
mod passwords;
mod probe;
mod record;
mod sql;
mod stormpath;
mod upstream;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    endpoint::Endpoint,
    hash_file::HashFile,
    okta::Okta,
    passwords::{Hashing, Passwords},
    record::Reader,
    sql::Sql,
    stormpath::Stormpath,
    upstream::Upstream,
};
pub(crate) use self::{hash_file::RowProblem, probe::probe};
use crate::{
    config::{Columns, HashCeilings, HashFileSource, Legacy, Source, SourceKind},
    hash::{HashFormat, HashPool},
    identity::SourceName,
    login::LegacyStore,
    net::{ApiClient, ApiSettings, Dependencies},
};

/// REL-30.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The stores of a configuration, ready to be asked.
pub(crate) struct Built {
    /// In the order of the chain.
    pub(crate) stores: Vec<Arc<dyn LegacyStore>>,
    /// Rows of files that were left out, for `check` and `doctor`.
    pub(crate) left_out: Vec<(SourceName, Vec<RowProblem>)>,
}

/// A source that cannot be set up. Names the setting, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildProblem {
    pub(crate) source_name: SourceName,
    /// `url: must be …`
    pub(crate) problem: String,
}

impl fmt::Display for BuildProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "legacy.{}.{}", self.source_name, self.problem)
    }
}

impl std::error::Error for BuildProblem {}

/// Turns the configured sources into stores, in their order, with every problem at once. Files are read here, so a
/// reload is a new build; databases and APIs are not asked yet. Needs the runtime the stores will be asked on.
pub(crate) async fn build(
    legacy: &Legacy,
    pool: &HashPool,
    dependencies: &Dependencies,
) -> Result<Built, Vec<BuildProblem>> {
    let hashing: Arc<dyn Hashing> = Arc::new(pool.clone());
    let mut built = Built { stores: Vec::new(), left_out: Vec::new() };
    let mut problems = Vec::new();
    for source in &legacy.sources {
        match build_one(source, &hashing, &legacy.hash_ceilings, dependencies).await {
            Ok((store, left_out)) => {
                built.stores.push(store);
                if !left_out.is_empty() {
                    built.left_out.push((source.name.clone(), left_out));
                }
            }
            Err(problem) => problems.push(BuildProblem { source_name: source.name.clone(), problem }),
        }
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

type Store = (Arc<dyn LegacyStore>, Vec<RowProblem>);

async fn build_one(
    source: &Source,
    hashing: &Arc<dyn Hashing>,
    ceilings: &HashCeilings,
    dependencies: &Dependencies,
) -> Result<Store, String> {
    let alone = |store: Arc<dyn LegacyStore>| (store, Vec::new());
    match &source.kind {
        SourceKind::Okta(settings) => {
            Okta::new(source, settings, dependencies).map(|store| alone(Arc::new(store)))
        }
        SourceKind::Stormpath(settings) => {
            Stormpath::new(source, settings, dependencies).map(|store| alone(Arc::new(store)))
        }
        SourceKind::Http(settings) => {
            Endpoint::new(source, settings, dependencies).map(|store| alone(Arc::new(store)))
        }
        SourceKind::Sql(settings) => {
            let passwords = passwords(source, &settings.columns, &settings.hash_format, hashing)?;
            Sql::new(source, settings, passwords, dependencies).map(|store| alone(Arc::new(store)))
        }
        SourceKind::HashFile(settings) => {
            let passwords = passwords(source, &settings.columns, &settings.hash_format, hashing)?;
            let rows = load(settings.clone(), passwords.reader.clone()).await?;
            rows.meet_hashes(&passwords.reader, &passwords.format, ceilings);
            let rows = Arc::new(rows);
            let left_out = rows.problems().to_vec();
            Ok((Arc::new(HashFile::new(source, rows, passwords)), left_out))
        }
        SourceKind::Upstream => Ok(alone(Arc::new(Upstream::new(source)))),
    }
}

/// How a source is called in metrics and in the list of dependencies.
fn dependency(source: &Source) -> String {
    format!("legacy {}", source.name)
}

/// The client of a source that is a service; `kind` is for its errors.
fn client(kind: &'static str, source: &Source, dependencies: &Dependencies) -> Result<ApiClient, String> {
    let settings = ApiSettings {
        name: kind,
        dependency: dependency(source),
        rate: source.rate,
        timeout: source.timeout,
        connect_timeout: CONNECT_TIMEOUT,
    };
    ApiClient::new(&settings, dependencies).map_err(|error| error.to_string())
}

/// A file may be large: it is read beside the runtime's threads.
async fn load(settings: HashFileSource, reader: Reader) -> Result<hash_file::Rows, String> {
    tokio::task::spawn_blocking(move || hash_file::load(&reader, &settings))
        .await
        .unwrap_or_else(|_| Err("path: reading the file was interrupted".to_owned()))
}

fn passwords(
    source: &Source,
    columns: &Columns,
    hash_format: &serde_json::Value,
    hashing: &Arc<dyn Hashing>,
) -> Result<Passwords, String> {
    let format = HashFormat::from_settings(hash_format).map_err(|error| format!("hash_format: {error}"))?;
    Ok(Passwords {
        source: source.name.clone(),
        reader: Reader::new(source, columns, hash_format),
        format,
        hashing: Arc::clone(hashing),
    })
}

#[cfg(test)]
mod tests;
