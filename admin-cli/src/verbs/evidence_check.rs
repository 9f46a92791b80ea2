//! `evidence check`: an evidence file against the trust anchor's fingerprint, with no node and no data directory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use danso_proto::evidence::{self, Contradicted, Kind};
use danso_proto::ids::Fingerprint;
use danso_proto::limits::EVIDENCE_BYTES_MAX;
use danso_proto::refusal::{Reason, Refusal};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, detail, hex};

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The evidence file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Fingerprint of the trust anchor, 64 hex digits, from a source that you trust
    #[arg(long, value_name = "FINGERPRINT")]
    anchor: Fingerprint,
}

/// Checks the file, and says what it proves and what not.
pub fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let proven = evidence::check(&read(&args.file)?, &args.anchor)?;
    let found = &proven.contradicted;
    let chain = proven.chain.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("author", "Nút ghi sổ", "Author"),
        column("kind", "Loại", "Kind"),
        column("ours_entries", "Mục của lời khai thứ nhất", "Entries of the first statement"),
        column("theirs_entries", "Mục của lời khai thứ hai", "Entries of the second statement"),
        column("differ", "Khác nhau từ muộn nhất", "Differ at the latest at"),
        column("agree", "Giống nhau đến", "Agree up to"),
        column("chain", "Chuỗi tin cậy", "Chain of trust"),
        column("digest", "Mã băm chứng cứ", "Digest"),
        detail("ours_hash"),
        detail("theirs_hash"),
    ]);
    sheet.push([
        Field::Text(found.log.to_string()),
        Field::Text(found.log.node().to_string()),
        Field::from(found.kind.as_str()),
        Field::Count(found.ours.size),
        Field::Count(found.theirs.size),
        Field::Count(found.differ),
        found.agree.map_or_else(|| Field::from(""), Field::Count),
        Field::Text(chain.join(" > ")),
        Field::Text(hex(&proven.digest)),
        Field::Text(hex(&found.ours.hash)),
        Field::Text(hex(&found.theirs.hash)),
    ]);
    match ctx.format {
        Format::Table => ctx.print(sheet.to_upright_table(ctx.look()))?,
        _ => ctx.sheet(&sheet)?,
    }
    let (what, lang) = (in_words(found, ctx.lang), ctx.lang);
    let author = found.log.node();
    ctx.note(match lang {
        Lang::Vi => format!(
            "Đã chứng minh: khóa của {author} đã ký hai lịch sử của cùng một sổ: {what}. Chuỗi chữ ký dẫn về gốc tin cậy.\n\
             Không chứng minh: ai đã làm việc đó (đĩa bị sao chép, bản sao lưu cũ được chạy lại và khóa bị lộ để lại dấu vết như nhau), \
             và lịch sử nào đúng."
        ),
        Lang::En => format!(
            "Proven: the key of {author} signed two histories of one log: {what}. The chain of signatures leads to the trust anchor.\n\
             Not proven: who did it (a copied disk, an old backup that was started again and a stolen key leave the same traces), and which \
             of the two histories is right."
        ),
    });
    Ok(Exit::Done)
}

fn in_words(found: &Contradicted, lang: Lang) -> String {
    let (ours, theirs, differ) = (found.ours.size, found.theirs.size, found.differ);
    match (found.kind, lang) {
        (Kind::Roots, Lang::Vi) => format!("hai điểm chốt của {differ} mục với hai gốc băm khác nhau"),
        (Kind::Roots, Lang::En) => format!("two checkpoints of {differ} entries with different roots"),
        (Kind::Growth, Lang::Vi) => {
            format!("điểm chốt của {} mục không phải là phần nối tiếp của điểm chốt {differ} mục", ours.max(theirs))
        }
        (Kind::Growth, Lang::En) => {
            format!("the checkpoint of {} entries did not grow out of the one of {differ}", ours.max(theirs))
        }
        (Kind::Entries, Lang::Vi) => format!("hai mục khác nhau cùng ở vị trí {}", ours.saturating_sub(1)),
        (Kind::Entries, Lang::En) => format!("two different entries at position {}", ours.saturating_sub(1)),
        (Kind::Keys, Lang::Vi) => {
            format!(
                "mục đổi khóa nói khóa cũ chỉ ký {} mục, mà khóa cũ đã ký cả mục ở vị trí {}",
                ours.min(theirs),
                differ.saturating_sub(1)
            )
        }
        (Kind::Keys, Lang::En) => format!(
            "a change of keys says that the old key signed {} entries, and the old key signed the one at position {}, too",
            ours.min(theirs),
            differ.saturating_sub(1)
        ),
        (Kind::Links, Lang::Vi) => {
            format!("mục ở vị trí {differ} chỉ vào một mục khác với mục đã ký ở vị trí trước nó")
        }
        (Kind::Links, Lang::En) => {
            format!("the entry at position {differ} names another before it than the one that was signed there")
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    let bound = EVIDENCE_BYTES_MAX as u64 + 1;
    File::open(path).map_err(unreadable)?.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("more than {EVIDENCE_BYTES_MAX} bytes")).into());
    }
    Ok(bytes)
}
