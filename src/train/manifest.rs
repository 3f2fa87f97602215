//! Training material: TSV manifests of clips, and TSV files of sentence pairs.
//!
//! Invariant: a row that cannot be used is an error that names file and line, never a silent gap.

use std::fs;
use std::path::{Path, PathBuf};

use super::TrainError;

/// One clip, or one sentence pair where `audio` is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Name of the row.
    pub id: String,
    /// The clip's file.
    pub audio: Option<PathBuf>,
    /// The clip's length.
    pub seconds: f64,
    /// Source text.
    pub english: String,
    /// One or more translations; training draws one.
    pub german: Vec<String>,
}

/// Reads a manifest: a header `id audio speaker seconds english german …`, tab-separated; columns after `german` are
/// further translations, which may be empty. `audio` is relative to the manifest's folder.
pub fn read_manifest(path: &Path) -> Result<Vec<Example>, TrainError> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        header.iter().position(|h| *h == name).ok_or_else(|| TrainError::row(path, 1, format!("no column `{name}`")))
    };
    let (id, audio, seconds) = (column("id")?, column("audio")?, column("seconds")?);
    let (english, german) = (column("english")?, column("german")?);
    let needed = 1 + [id, audio, seconds, english, german].into_iter().max().unwrap_or(0);
    let mut examples = Vec::new();
    for (index, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() < needed {
            let message = format!("{} columns, allowed: {needed} or more", fields.len());
            return Err(TrainError::row(path, index + 2, message));
        }
        let length = fields[seconds].parse().ok().filter(|length: &f64| length.is_finite() && *length >= 0.0);
        let length = length.ok_or_else(|| {
            TrainError::row(path, index + 2, format!("seconds is {:?}, allowed: a number from 0", fields[seconds]))
        })?;
        examples.push(Example {
            id: fields[id].to_owned(),
            audio: Some(folder.join(fields[audio])),
            seconds: length,
            english: fields[english].to_owned(),
            german: translations(&fields[german..]),
        });
    }
    Ok(examples)
}

/// Reads sentence pairs: source, tab, one or more translations, no header.
pub fn read_pairs(path: &Path) -> Result<Vec<Example>, TrainError> {
    let pair = |(index, line): (usize, &str)| {
        let (english, german) = line
            .split_once('\t')
            .ok_or_else(|| TrainError::row(path, index + 1, "one column, allowed: two or more".to_owned()))?;
        Ok(Example {
            id: (index + 1).to_string(),
            audio: None,
            seconds: 0.0,
            english: english.to_owned(),
            german: translations(&german.split('\t').collect::<Vec<_>>()),
        })
    };
    read(path)?.lines().enumerate().map(pair).collect()
}

fn translations(fields: &[&str]) -> Vec<String> {
    fields.iter().filter(|text| !text.is_empty()).map(|text| (*text).to_owned()).collect()
}

fn read(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path).map_err(|source| TrainError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("decalage-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn further_columns_are_further_translations() {
        let text = "id\taudio\tspeaker\tseconds\tenglish\tgerman\tgerman2\na\tx/a.flac\ts\t1.5\tHi.\tHallo!\tTag!\nb\tb.flac\ts\t2\tNo.\tNein.\t\n";
        let examples = read_manifest(&file("manifest.tsv", text)).unwrap();
        assert_eq!(examples[0].german, ["Hallo!", "Tag!"]);
        assert_eq!(examples[1].german, ["Nein."]);
        assert_eq!(examples[0].audio, Some(std::env::temp_dir().join("x/a.flac")));
    }

    #[test]
    fn errors_name_the_line() {
        let text = "id\taudio\tspeaker\tseconds\tenglish\tgerman\na\ta.flac\ts\tlong\tHi.\tHallo!\n";
        let error = read_manifest(&file("seconds.tsv", text)).unwrap_err().to_string();
        assert!(error.ends_with("line 2: seconds is \"long\", allowed: a number from 0"), "{error}");
        for length in ["nan", "inf", "-1"] {
            assert!(read_manifest(&file("seconds.tsv", &text.replace("long", length))).is_err(), "{length}");
        }
        let short = "german\tid\taudio\tseconds\tenglish\nHallo!\ta\n";
        let error = read_manifest(&file("short.tsv", short)).unwrap_err().to_string();
        assert!(error.ends_with("line 2: 2 columns, allowed: 5 or more"), "{error}");
        assert!(
            read_manifest(&file("header.tsv", "id\taudio\n")).unwrap_err().to_string().contains("no column `seconds`")
        );
    }

    #[test]
    fn pairs_need_two_columns() {
        assert_eq!(read_pairs(&file("pairs.tsv", "Hi.\tHallo!\tTag!\n")).unwrap()[0].german.len(), 2);
        assert!(read_pairs(&file("single.tsv", "Hi.\n")).is_err());
    }
}
