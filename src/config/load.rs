//! Where settings come from: defaults, then files, then the environment, then flags; each overrides what goes before.

use std::path::{Path, PathBuf};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format, Serialized, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use serde::Serialize;

use super::{Config, ConfigError};

/// Variables that begin so are settings: `DECALAGE_SERVER__LISTEN` is `listen` of `[server]`.
const PREFIX: &str = "DECALAGE_";

impl Config {
    /// Reads TOML files, a later one over an earlier one, and the environment, and lays `overlay` over them: nested structs
    /// or maps that hold the flags that were given, and nothing for those that were not.
    ///
    /// # Errors
    /// A file cannot be read, a key is unknown, a value is of the wrong type, or [`Config::validate`] refuses it.
    pub fn load(files: &[PathBuf], overlay: impl Serialize) -> Result<Self, ConfigError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::load_from(files, std::env::vars_os().map(|(name, value)| (text(name), text(value))), overlay)
    }

    pub(super) fn load_from(
        files: &[impl AsRef<Path>],
        environment: impl IntoIterator<Item = (String, String)>,
        overlay: impl Serialize,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        for file in files {
            figment = figment.merge(Toml::file_exact(file));
        }
        for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            figment = figment.merge(Variable { name, value });
        }
        let config: Self =
            figment.merge(Serialized::defaults(overlay)).extract().map_err(|error| without_excerpt(&error))?;
        config.validate()?;
        Ok(config)
    }
}

/// One environment variable. (`figment::providers::Env` reads the process's own, which a test cannot set safely.)
struct Variable {
    name: String,
    value: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name)).interpolater(|_, keys| keys.join("."))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let key = self.name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let value: Value = self.value.parse().unwrap_or_else(|never| match never {});
        let dict = nest(&key, value).into_dict().ok_or_else(|| format!("no key is named {}", self.name))?;
        Ok(Profile::Default.collect(dict))
    }
}

/// A parser shows the line that it stumbled over, and that line may hold a key.
fn without_excerpt(error: &Error) -> ConfigError {
    let text = error.to_string();
    let is_excerpt = |line: &&str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let lines: Vec<&str> = text.lines().filter(|line| !is_excerpt(line)).map(str::trim).collect();
    ConfigError::Read(lines.join(": "))
}
