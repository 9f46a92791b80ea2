//! An earlier answer as `aggregate pull --output json` printed it: the logs that it counted, and its figures. It may not know what they are compared with.

use std::path::Path;

use danso_proto::pb::query::v1::FrontierEntry;
use serde_json::Value;

use crate::exit::Failure;
use crate::lang::Lang;
use crate::output::month_text;

/// Bytes of a file that is read at most: an answer has at most some hundred thousand logs and cells.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// An answer that was saved.
pub struct Earlier(Value);

impl Earlier {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not what `aggregate pull --output json` prints.
    pub fn read(path: &Path, lang: Lang) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::Usage(match lang {
                Lang::Vi => {
                    format!("{}: {why}. Cần tệp do danso-admin aggregate pull --output json ghi ra", path.display())
                }
                Lang::En => {
                    format!(
                        "{}: {why}. What is needed is the output of danso-admin aggregate pull --output json",
                        path.display()
                    )
                }
            })
        };
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > BYTES_MAX {
            return Err(wrong(lang.of("tệp quá lớn", "the file is too large").into()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let earlier = Self(value);
        match earlier.logs().is_some() {
            true => Ok(earlier),
            false => Err(wrong(lang.of("không thấy frontier", "there is no frontier in it").into())),
        }
    }

    /// The list of logs: the whole file, or `frontier` in it or in its header.
    fn logs(&self) -> Option<Vec<FrontierEntry>> {
        let list =
            [&self.0, &self.0["frontier"], &self.0["header"]["frontier"]].into_iter().find_map(Value::as_array)?;
        let entry = |entry: &Value| {
            let (log, size) = (entry["log"].as_str()?.to_owned(), entry["size"].as_u64()?);
            Some(FrontierEntry { log, size, recorded_at_ms: 0 })
        };
        list.iter().map(entry).collect()
    }

    /// The logs that it counted.
    pub fn frontier(&self) -> Vec<FrontierEntry> {
        self.logs().unwrap_or_default()
    }

    /// The figure that it gave; `None` when it was not asked for it. A figure that was asked for and is not there is zero.
    pub fn figure(&self, unit: &str, month: u32, measure: &str) -> Option<i64> {
        let query = &self.0["header"]["query"];
        let cells = self.0["cells"].as_array()?;
        let month = month_text(month);
        let has = |list: &Value, word: &str| list.as_array().is_some_and(|list| list.iter().any(|one| one == word));
        let by_month = has(&query["dimensions"], "month");
        let measures = query["measures"].as_array()?;
        let asked = measures.is_empty() || has(&query["measures"], measure);
        let (from, to) = (query["from"].as_str()?, query["to"].as_str()?);
        let is_in_time = match by_month {
            true => (from..=to).contains(&&*month),
            false => from == month && to == month,
        };
        let is_whole = query["by"] == "" && query["unit"] == unit;
        let found = cells.iter().filter(|cell| {
            cell["unit_code"] == unit && cell["measure"] == measure && (!by_month || cell["month"] == *month)
        });
        let values: Vec<i64> = found.filter_map(|cell| cell["value"].as_i64()).collect();
        let is_told = asked && is_in_time && (is_whole || !values.is_empty());
        is_told.then(|| values.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn earlier() -> Earlier {
        Earlier(json!({
            "header": {
                "query": { "unit": "420", "by": "commune", "from": "2021-01", "to": "2021-02", "measures": [], "dimensions": ["month", "sex"] },
                "frontier": [{ "log": "17065-0123456789abcdef/records", "size": 3 }],
            },
            "cells": [
                { "unit_code": "17065", "month": "2021-01", "measure": "births", "sex": "M", "value": 2 },
                { "unit_code": "17065", "month": "2021-01", "measure": "births", "sex": "F", "value": 3 },
                { "unit_code": "17065", "month": "2021-02", "measure": "births", "sex": "F", "value": 9 },
            ],
        }))
    }

    #[test]
    fn what_was_told_is_found_and_nothing_else() {
        let it = earlier();
        assert_eq!(it.frontier()[0].size, 3);
        assert_eq!(it.figure("17065", 202_101, "births"), Some(5));
        assert_eq!(it.figure("17065", 202_103, "births"), None, "another month");
        assert_eq!(it.figure("17062", 202_101, "births"), None, "it may not have been among the units");
        let mut whole = earlier();
        whole.0["header"]["query"]["by"] = json!("");
        assert_eq!(whole.figure("420", 202_101, "births"), Some(0), "zeros are left out");
    }

    #[test]
    fn a_frontier_alone_will_do_for_since() {
        let list = json!([{ "log": "a", "size": 1 }]);
        assert_eq!(Earlier(list.clone()).frontier().len(), 1);
        assert_eq!(Earlier(json!({ "frontier": list })).frontier().len(), 1);
        assert!(Earlier(json!({ "frontier": [{ "log": 1 }] })).logs().is_none());
        assert!(Earlier(json!("text")).logs().is_none());
    }
}
