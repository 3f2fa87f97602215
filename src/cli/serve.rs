//! `decalage serve`: the server, until it is told to stop.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use decalage::bundle::Bundle;
use decalage::config::Config;
use decalage::engine::{Cascade, Engine, EngineConfig, TorchTranslator, session_assets, text_session_assets};
use decalage::server::admin::Admin;
use decalage::server::listen::{Options, serve};
use decalage::server::shutdown::Shutdown;
use decalage::server::{App, ModelInfo, eval, router, tls};
use decalage::telemetry::{Metrics, init_logging};
use rustls::ServerConfig;
use serde_json::{Map, Value, json};
use tch::Device;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A recording that comes with the first bundle.
const SAMPLE: &str = "models/en-de-small/sample.opus";
/// How often the engine's health is looked at.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);
/// For a worker to notice that its last stream is gone.
const LAST_STEP: Duration = Duration::from_secs(5);

/// Serve live streams over websockets and recordings over HTTP
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Config file (deploy/decalage.toml shows every key), any number: a later one goes before an earlier one,
    /// `DECALAGE_…` variables before both, and flags before all
    #[arg(long, value_name = "TOML")]
    config: Vec<PathBuf>,
    /// Address for clients
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address for evaluation tools (simulstream, SimulEval)
    #[arg(long, value_name = "ADDRESS")]
    eval_listen: Option<SocketAddr>,
    /// File to append simulstream's metrics to
    #[arg(long, value_name = "FILE")]
    eval_log: Option<PathBuf>,
    /// Model bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Live streams at once
    #[arg(long, value_name = "N")]
    max_sessions: Option<usize>,
    /// Listen on other addresses than loopback although no keys are configured
    #[arg(long)]
    allow_any_key: bool,
    /// Check config, bundle, certificate and the folder for uploads, then exit
    #[arg(long)]
    check_config: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::load(&self.config, self.overlay())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let log = runtime.block_on(async { init_logging(&config.log) })?;
        let tls = config.server.tls.as_ref().map(tls::load).transpose()?;
        check_uploads(&config.server.uploads())?;
        let began = Instant::now();
        let bundle = Arc::new(Bundle::open(&config.model.bundle)?);
        if self.check_config {
            eprintln!("the configuration is valid, the bundle is {}", bundle.id);
            return Ok(());
        }
        let metrics = Metrics::new();
        let engine = engine(&config, Arc::clone(&bundle), &metrics)?;
        let text = text_engine(&config, Arc::clone(&bundle), &metrics)?;
        let loading = began.elapsed();
        let model = model_info(&config, &bundle)?;
        let drained =
            runtime.block_on(self.listen(config, tls, (engine.clone(), text.clone()), model, metrics, loading))?;
        drop(log);
        drop(runtime);
        // All streams are closed by now: what is left is the step that a worker is in.
        let ended = engine.join(LAST_STEP) && text.is_none_or(|text| text.join(LAST_STEP));
        ensure!(drained && ended, "some streams were cut off");
        Ok(())
    }

    /// Flags as the config's keys.
    fn overlay(&self) -> Value {
        let mut server = Map::new();
        let mut model = Map::new();
        let set = |map: &mut Map<String, Value>, key: &str, value: Option<Value>| {
            map.extend(value.map(|value| (key.to_owned(), value)));
        };
        set(&mut server, "listen", self.listen.map(|address| json!(address)));
        set(&mut server, "eval_listen", self.eval_listen.map(|address| json!(address)));
        set(&mut server, "allow_any_key", self.allow_any_key.then_some(json!(true)));
        set(&mut model, "bundle", self.bundle.as_ref().map(|path| json!(path)));
        set(&mut model, "max_sessions", self.max_sessions.map(|count| json!(count)));
        json!({ "server": server, "model": model })
    }

    /// Whether everything came to an end by itself.
    async fn listen(
        &self,
        config: Config,
        tls: Option<Arc<ServerConfig>>,
        (engine, text): (Engine, Option<Engine>),
        model: ModelInfo,
        metrics: Metrics,
        loading: Duration,
    ) -> Result<bool> {
        let server = &config.server;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shutdown = Shutdown::new();
        let engines: Vec<Engine> = [Some(engine.clone()), text.clone()].into_iter().flatten().collect();
        let healthy = watch_health(engines.clone());
        let admin = Admin { metrics: metrics.clone(), healthy, shutdown: shutdown.clone() };
        let app = App::new(engine, text, model, config.clone(), metrics.clone(), shutdown.clone());
        let options = Options {
            max_connections: server.max_connections,
            max_connections_per_ip: server.max_connections_per_ip,
            header_timeout: Duration::from_millis(server.header_timeout_ms),
            write_timeout: Duration::from_millis(server.write_timeout_ms),
            tls,
        };
        let listener = bind(server.listen).await?;
        let address = listener.local_addr()?;
        tracing::info!("listening on {scheme}://{address}");
        tracing::info!("open {scheme}://{address}/ in a browser");
        tracing::info!("try it: decalage stream --url {scheme}://{address} --transcript {SAMPLE}");
        tracing::info!("        curl -F file=@{SAMPLE} {scheme}://{address}/v1/audio/translations");
        if let Some(address) = server.eval_listen {
            let log = self.eval_log.as_ref().map(|path| {
                let file = OpenOptions::new().create(true).append(true).open(path);
                file.with_context(|| path.display().to_string()).map(|file| Arc::new(Mutex::new(file)))
            });
            let listener = bind(address).await?;
            tracing::info!("evaluation tools: listening on http://{}", listener.local_addr()?);
            let router = eval::router(app.clone(), log.transpose()?, loading);
            let options = Options { tls: None, ..options.clone() };
            tokio::spawn(serve(listener, router, options, metrics.clone(), shutdown.clone()));
        }
        let stopping = shutdown.clone();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("stopping: no new streams, those that run say what is left");
            engines.iter().for_each(Engine::stop_admitting);
            stopping.begin();
        });
        serve(listener, router(app, admin), options, metrics, shutdown.clone()).await;
        let drained = shutdown.complete(Duration::from_millis(server.drain_timeout_ms)).await;
        Ok(drained.inspect_err(|count| tracing::error!("{count} connections were cut off")).is_ok())
    }
}

/// A folder that takes no file would only be noticed by the first upload.
fn check_uploads(folder: &Path) -> Result<()> {
    let made = tempfile::tempfile_in(folder);
    made.map(drop).with_context(|| format!("server.upload_folder takes no file: {}", folder.display()))
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// One translator a worker, each on one thread: twice the work of one translator on two threads.
fn engine(config: &Config, bundle: Arc<Bundle>, metrics: &Metrics) -> Result<Engine> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let layout = EngineConfig {
        workers: if config.model.workers == 0 { cores } else { config.model.workers },
        max_batch: config.model.max_batch,
        max_sessions: config.model.max_sessions,
        max_recordings: config.model.max_recordings,
    };
    let assets = Arc::new(session_assets(&bundle));
    let make = move || {
        tch::set_num_threads(1);
        Cascade::load(&bundle, Device::Cpu)
    };
    Ok(Engine::start(&layout, assets, metrics, make)?)
}

/// Text is quickly read: one thread for those who write, one for what is there already.
fn text_engine(config: &Config, bundle: Arc<Bundle>, metrics: &Metrics) -> Result<Option<Engine>> {
    let Some(assets) = text_session_assets(&bundle) else { return Ok(None) };
    let layout = EngineConfig {
        workers: 1,
        max_batch: config.model.max_batch,
        max_sessions: config.model.max_sessions,
        max_recordings: config.model.max_recordings,
    };
    let make = move || {
        tch::set_num_threads(1);
        TorchTranslator::load_text(&bundle, Device::Cpu)
    };
    Ok(Some(Engine::start(&layout, Arc::new(assets), metrics, make)?))
}

fn model_info(config: &Config, bundle: &Bundle) -> Result<ModelInfo> {
    let folder = config.model.bundle.canonicalize()?;
    let name = folder.file_name().context("the bundle's folder has no name")?;
    let loaded_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(ModelInfo {
        name: name.to_string_lossy().into_owned(),
        bundle: bundle.id.clone(),
        source_language: bundle.assets.config.source_language.clone(),
        target_language: bundle.assets.config.target_language.clone(),
        loaded_at,
    })
}

/// Follows [`Engine::is_healthy`] of all as long as anybody looks.
fn watch_health(engines: Vec<Engine>) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(true);
    tokio::spawn(async move {
        while !sender.is_closed() {
            sender.send_if_modified(|healthy| {
                std::mem::replace(healthy, engines.iter().all(Engine::is_healthy)) != *healthy
            });
            tokio::time::sleep(HEALTH_PERIOD).await;
        }
    });
    receiver
}
