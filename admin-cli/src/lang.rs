//! The language of what people read: chosen by `--lang`, else by the environment. It may not know what is said.

use danso_core::messages;

/// The language of what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Vietnamese.
    Vi,
    /// English.
    En,
}

impl Lang {
    /// The words in this language.
    pub fn of<'a>(self, vi: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Vi => vi,
            Self::En => en,
        }
    }

    /// The code in requests: `vi` or `en`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Vi => "vi",
            Self::En => "en",
        }
    }
}

impl From<Lang> for messages::Lang {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Vi => Self::Vi,
            Lang::En => Self::En,
        }
    }
}

/// The language for `LANG`-like values, in the order of their weight: the first that is set decides.
pub fn from_env(values: impl IntoIterator<Item = Option<String>>) -> Lang {
    let value = values.into_iter().flatten().find(|value| !value.is_empty());
    match messages::Lang::from_env_value(value.as_deref().unwrap_or_default()) {
        messages::Lang::Vi => Lang::Vi,
        messages::Lang::En => Lang::En,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_that_is_set_decides() {
        let env = |values: [Option<&str>; 3]| from_env(values.map(|value| value.map(str::to_owned)));
        assert_eq!(env([None, None, Some("vi_VN.UTF-8")]), Lang::Vi);
        assert_eq!(env([Some(""), None, Some("vi_VN")]), Lang::Vi);
        assert_eq!(env([Some("C.UTF-8"), None, Some("vi_VN")]), Lang::En);
        assert_eq!(env([None, None, None]), Lang::En);
    }
}
