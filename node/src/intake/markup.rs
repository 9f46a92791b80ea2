//! The bounds of one XML part, checked as its bytes pass by: what a reader of the part would have to hold in memory at once. It is
//! stricter than XML where being lenient would let the reader see another structure than the one that is measured here. This room may
//! not know zip files, nor what a cell says.

use danso_proto::refusal::Reason;

/// Bytes of a tag, or of text between two tags.
const RUN_MAX: usize = 64 * 1024;
/// Bytes of a cell or a shared string with its markup: texts of several fonts have a lot of it.
const CELL_MAX: usize = 256 * 1024;
/// Shared strings: the reader keeps some 50 bytes for the shortest.
const ITEMS_MAX: u32 = 3_000_000;
/// Digits in the tag that tells the number of shared strings. The reader reserves memory for as many as it says.
const COUNT_DIGITS_MAX: usize = 7;
/// Elements inside each other.
const DEPTH_MAX: usize = 128;
/// Bytes of all names of the elements that are open.
const NAMES_MAX: usize = 16 * 1024;

/// Where the next byte stands.
enum At {
    Text,
    /// Behind `<`; the quote in which it stands, or 0.
    Markup(u8),
}

/// What was seen of a part so far.
pub(super) struct Markup {
    at: At,
    /// Bytes of text since the last tag.
    run: usize,
    /// Bytes since the last `<`.
    token: Vec<u8>,
    /// Names of the open elements one after another, and where each begins.
    names: Vec<u8>,
    open: Vec<usize>,
    /// How many elements are open around the cell or shared string in which we are, and its bytes.
    cell: Option<(usize, usize)>,
    items: u32,
}

impl Markup {
    pub(super) fn new() -> Self {
        let (token, names) = (Vec::new(), Vec::new());
        Self { at: At::Text, run: 0, token, names, open: Vec::new(), cell: None, items: 0 }
    }

    /// The next bytes. `file_too_large` over a bound, `file_format` for what no spreadsheet writes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Reason> {
        // No NUL stands in UTF-8 text, and many in UTF-16, whose tags would not be seen here.
        if bytes.contains(&0) {
            return Err(Reason::FileFormat);
        }
        while let Some((&first, rest)) = bytes.split_first() {
            match self.at {
                At::Text => {
                    let length = bytes.iter().position(|b| *b == b'<');
                    let text = length.unwrap_or(bytes.len());
                    self.run += text;
                    self.in_cell(text)?;
                    if self.run > RUN_MAX {
                        return Err(Reason::FileTooLarge);
                    }
                    bytes = &bytes[text..];
                    if length.is_some() {
                        bytes = &bytes[1..];
                        (self.run, self.at) = (0, At::Markup(0));
                        self.token.clear();
                    }
                }
                At::Markup(quote) => {
                    bytes = rest;
                    if first == b'>' && quote == 0 && self.is_whole()? {
                        self.at = At::Text;
                        self.end_of_token()?;
                        continue;
                    }
                    let tag = !matches!(self.token.first().unwrap_or(&first), b'!' | b'?' | b'/');
                    self.at = match first {
                        b'<' if !self.token.starts_with(b"![CDATA[") => return Err(Reason::FileFormat),
                        b'"' | b'\'' if tag && quote == 0 => At::Markup(first),
                        _ if first == quote => At::Markup(0),
                        _ => At::Markup(quote),
                    };
                    if self.token.len() == RUN_MAX {
                        return Err(Reason::FileTooLarge);
                    }
                    self.token.push(first);
                }
            }
        }
        Ok(())
    }

    /// Whether a `>` ends the markup.
    fn is_whole(&self) -> Result<bool, Reason> {
        let ends = |start: &[u8], end: &[u8]| self.token.len() >= start.len() + end.len() && self.token.ends_with(end);
        match &self.token[..] {
            token if token.starts_with(b"![CDATA[") => Ok(ends(b"![CDATA[", b"]]")),
            // Comments and instructions that hold tags; a document type could hold anything.
            token if token.starts_with(b"!--") => ends(b"!--", b"--").then_some(true).ok_or(Reason::FileFormat),
            token if token.starts_with(b"?") => ends(b"?", b"?").then_some(true).ok_or(Reason::FileFormat),
            token if token.starts_with(b"!") => Err(Reason::FileFormat),
            _ => Ok(true),
        }
    }

    fn end_of_token(&mut self) -> Result<(), Reason> {
        self.in_cell(self.token.len() + 2)?;
        match self.token.first() {
            Some(b'!') => Ok(()),
            Some(b'?') => self.encoding(),
            Some(b'/') => self.end_tag(),
            _ => self.start_tag(),
        }
    }

    fn in_cell(&mut self, more: usize) -> Result<(), Reason> {
        if let Some((_, bytes)) = &mut self.cell {
            *bytes += more;
            if *bytes > CELL_MAX {
                return Err(Reason::FileTooLarge);
            }
        }
        Ok(())
    }

    /// In another encoding other bytes could be tags.
    fn encoding(&self) -> Result<(), Reason> {
        let text = self.token.to_ascii_lowercase();
        let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
        match has(b"encoding") && !has(b"\"utf-8\"") && !has(b"'utf-8'") {
            true => Err(Reason::FileFormat),
            false => Ok(()),
        }
    }

    fn start_tag(&mut self) -> Result<(), Reason> {
        let empty = self.token.ends_with(b"/");
        let whole = self.token.strip_suffix(b"/").unwrap_or(&self.token);
        let name = whole.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let local = name.splitn(2, |b| *b == b':').last().unwrap_or_default();
        if name.is_empty() || self.open.len() == DEPTH_MAX || self.names.len() + name.len() > NAMES_MAX {
            return Err(Reason::FileFormat);
        }
        match local {
            b"sst" if whole.split(|b| !b.is_ascii_digit()).any(|digits| digits.len() > COUNT_DIGITS_MAX) => {
                return Err(Reason::FileTooLarge);
            }
            b"si" => self.items += 1,
            _ => {}
        }
        if self.items > ITEMS_MAX {
            return Err(Reason::FileTooLarge);
        }
        if !empty {
            if self.cell.is_none() && matches!(local, b"c" | b"si") {
                self.cell = Some((self.open.len(), whole.len()));
            }
            self.open.push(self.names.len());
            self.names.extend_from_slice(name);
        }
        Ok(())
    }

    /// Ends the element that was opened last, and no other: elements that overlap have no size.
    fn end_tag(&mut self) -> Result<(), Reason> {
        let name = self.token[1..].trim_ascii_end();
        match self.open.pop() {
            Some(from) if &self.names[from..] == name => self.names.truncate(from),
            _ => return Err(Reason::FileFormat),
        }
        if self.cell.is_some_and(|(depth, _)| depth == self.open.len()) {
            self.cell = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, the answer is the same.
    fn read(xml: &str) -> Result<(), Reason> {
        let by = |size: usize| {
            let mut markup = Markup::new();
            xml.as_bytes().chunks(size).try_for_each(|bytes| markup.read(bytes))
        };
        let all = by(xml.len().max(1));
        assert_eq!(by(7), all);
        all
    }

    #[test]
    fn what_spreadsheets_write_passes() {
        for xml in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n<sst uniqueCount=\"1048576\"><si><t>Vi Thị</t></si></sst>",
            "<a b='x>y' c=\"it's\"/><b><!-- x --><![CDATA[1 < 2 > 1]]></b >",
            "<x:row><x:c r=\"A1\"><x:v>1</x:v></x:c></x:row>",
            &format!("<sheetData>{}</sheetData>", "<c><v>1</v></c>".repeat(50_000)),
            &format!("<c><t>{}</t></c>", "x".repeat(32_767)),
        ] {
            assert_eq!(read(xml), Ok(()), "{xml:.80}");
        }
    }

    #[test]
    fn what_would_be_held_at_once_is_bounded() {
        let long = "x".repeat(RUN_MAX + 1);
        for xml in [
            format!("<t>{long}"),
            format!("<t a=\"{long}"),
            format!("<![CDATA[{}", "<>".repeat(RUN_MAX)),
            format!("<!--{long}"),
            format!("<c><is><t>{}", "xx<b/>".repeat(50_000)),
            format!("<c><is><c></c><t>{}", "xx<b/>".repeat(50_000)),
            format!("<x:si>{}", "<r><t>x</t></r>".repeat(20_000)),
            "<sst uniqueCount=\"99999999999\">".to_owned(),
            "<si/>".repeat(ITEMS_MAX as usize + 1),
        ] {
            let mut markup = Markup::new();
            assert_eq!(markup.read(xml.as_bytes()), Err(Reason::FileTooLarge), "{xml:.80}");
        }
    }

    #[test]
    fn what_could_hide_a_structure_is_refused() {
        for xml in [
            "<!DOCTYPE x [<!ENTITY y \"z\">]>",
            "<c><is></c></is>",
            "</c>",
            "<a \">\"></a b=\">\">",
            "<!-- <c> -->",
            "<!-->",
            "<?>",
            "<a <b>",
            "<\0a\0>\0",
            "<?xml version='1.0' encoding='ISO-2022-JP'?>",
            "<>",
            &"<a>".repeat(DEPTH_MAX + 1),
        ] {
            assert_eq!(read(xml), Err(Reason::FileFormat), "{xml:.80}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(
            vec!["<", ">", "/", "!", "--", "?", "\"", "'", "c", "si", "sst", ":", " ", "12345678", "![CDATA[", "]]", "x"]), 0..60)) {
            let _ = read(&pieces.concat());
        }
    }
}
