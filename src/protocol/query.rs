//! A URL's parameters, percent-decoded, to typed values. Invariant: a value that cannot be used is named together with
//! what is allowed, so that a client learns before the upgrade what it got wrong.

use std::str::FromStr;

use thiserror::Error;

use crate::audio::resample::RATES_HZ;

/// A parameter that a connection cannot be opened with: the client's fault (400).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// A required one is not there.
    #[error("the parameter {param} is missing; required is {allowed}")]
    Missing {
        /// Its name.
        param: &'static str,
        /// What it should be.
        allowed: String,
    },
    /// One has a value that is not allowed.
    #[error("the parameter {param} is {value:?}; allowed is {allowed}")]
    Invalid {
        /// Its name.
        param: &'static str,
        /// Its value, shortened.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl QueryError {
    /// Name of the parameter.
    pub fn param(&self) -> &'static str {
        match self {
            Self::Missing { param, .. } | Self::Invalid { param, .. } => param,
        }
    }

    pub(super) fn invalid(param: &'static str, value: &str, allowed: impl Into<String>) -> Self {
        Self::Invalid { param, value: value.chars().take(64).collect(), allowed: allowed.into() }
    }
}

/// The parameters of a URL; of a repeated one the first counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(pub(super) &'a [(String, String)]);

impl<'a> Query<'a> {
    pub(super) fn get(self, param: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| name == param).map(|(_, value)| value.as_str())
    }

    /// The value as a `T` for which `is_allowed`.
    pub(super) fn number<T: FromStr>(
        self,
        param: &'static str,
        is_allowed: impl Fn(&T) -> bool,
        allowed: &str,
    ) -> Result<Option<T>, QueryError> {
        let parse = |value: &str| {
            value.parse().ok().filter(&is_allowed).ok_or_else(|| QueryError::invalid(param, value, allowed))
        };
        self.get(param).map(parse).transpose()
    }

    /// `true` or `false` in any case; absent is false.
    pub(super) fn flag(self, param: &'static str) -> Result<bool, QueryError> {
        match self.get(param) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(QueryError::invalid(param, value, "true or false")),
        }
    }

    /// Samples per second and channel.
    pub(super) fn rate_hz(self, param: &'static str) -> Result<Option<u32>, QueryError> {
        let allowed = format!("{} to {}", RATES_HZ.start(), RATES_HZ.end());
        self.number(param, |rate_hz| RATES_HZ.contains(rate_hz), &allowed)
    }

    /// 1 or 2; 1 if absent.
    pub(super) fn channels(self) -> Result<u16, QueryError> {
        Ok(self.number("channels", |channels| [1, 2].contains(channels), "1 or 2")?.unwrap_or(1))
    }
}

#[cfg(test)]
pub(super) fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
    query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
