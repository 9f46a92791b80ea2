//! What the verbs say to people when they are done, in Vietnamese and English. Programs read standard output; this goes beside it.

use std::path::Path;

use danso_core::messages::Lang;

use super::recover::{Lost, Recovered};
use super::restore::Restored;
use super::{backup, migrate, rebuild};

/// The language of the environment.
pub(super) fn lang() -> Lang {
    Lang::from_env_value(&std::env::var("LANG").unwrap_or_default())
}

/// After `recover`.
pub(super) fn recovered(done: &Recovered, data: &Path, lang: Lang) -> Vec<String> {
    let Recovered { parent, entries, kept, .. } = done;
    let data = data.display();
    let mut said = vec![match (parent, lang) {
        (Some(parent), Lang::Vi) => {
            format!("Đã nhận lại {entries} mục từ {parent}; giữ thêm {kept} mục chỉ có trong cơ sở dữ liệu cũ.")
        }
        (Some(parent), Lang::En) => {
            format!("{entries} entries came back from {parent}; {kept} that only the old database had were kept.")
        }
        (None, Lang::Vi) => format!(
            "Đã lập lại cơ sở dữ liệu từ {kept} mục đọc được. Mọi mục do nút này ghi đều còn; phần của nút khác không đọc được có nêu ở dưới, và chỉ đến lại từ ai còn giữ."
        ),
        (None, Lang::En) => format!(
            "The database was made again from {kept} entries that can be read. All that this node wrote is there; what cannot be read of others is named below, and comes again only from who holds it."
        ),
    }];
    said.extend(done.apart.iter().map(|(log, from)| match lang {
        Lang::Vi => format!(
            "CHÚ Ý: cơ sở dữ liệu cũ có một lịch sử khác của {log} (từ mục {from}). Phần đó không được nhận; hãy nhập lại các phiếu liên quan."
        ),
        Lang::En => format!(
            "ATTENTION: the old database holds another history of {log} (from entry {from} on). It was not taken over; import its slips again."
        ),
    }));
    said.extend(done.lost.iter().map(|lost| lost_entries(lost, lang)));
    said.extend(done.refused.iter().map(|(log, refusal)| match lang {
        Lang::Vi => format!(
            "CHÚ Ý: chưa nhận {log}, vì bị từ chối: {refusal}. Sổ này sẽ đến qua liên kết khi đã đủ những gì cần để đọc; nếu không, hãy chạy recover lại."
        ),
        Lang::En => format!(
            "ATTENTION: {log} was not taken, it is refused: {refusal}. It comes over the link when what is needed to read it has come; if it does not, run recover again."
        ),
    }));
    said.extend(done.damage.iter().map(|damage| match lang {
        Lang::Vi => {
            format!("Cơ sở dữ liệu cũ bị hỏng ({damage}). Những gì còn đọc được đã được nhận; hãy kiểm tra ổ đĩa.")
        }
        Lang::En => {
            format!("The old database is damaged ({damage}). What can be read of it was taken over; check the disk.")
        }
    }));
    said.extend(done.unread.iter().map(|what| match lang {
        Lang::Vi => format!("CHÚ Ý: không nhận được, vì không đọc được hoặc không hợp lệ: {what}"),
        Lang::En => format!("ATTENTION: not taken over, it could not be read or does not pass: {what}"),
    }));
    said.extend(done.aside.as_ref().map(|aside| match lang {
        Lang::Vi => format!("Cơ sở dữ liệu cũ nay là {}; chỉ xoá khi không còn cần gì trong đó.", aside.display()),
        Lang::En => format!("The old database is {}; remove it when nothing of it is needed.", aside.display()),
    }));
    said.push(match lang {
        Lang::Vi => format!("Tiếp theo: danso-node run --data {data}"),
        Lang::En => format!("Next: danso-node run --data {data}"),
    });
    said
}

/// What this node wrote and is nowhere now.
fn lost_entries(Lost { log, here, written }: &Lost, lang: Lang) -> String {
    match (written.checked_sub(*here).filter(|lost| *lost > 0), lang) {
        (Some(lost), Lang::Vi) => format!(
            "CHÚ Ý: {lost} mục của {log} (từ mục {here}) đã được ghi tại đây, theo tệp `heads`, nay không còn ở đâu: cả cấp trên lẫn cơ sở dữ liệu cũ đều không có. Hãy nhập lại các phiếu liên quan."
        ),
        (Some(lost), Lang::En) => format!(
            "ATTENTION: {lost} entries of {log} (from entry {here} on) were written here, by the file `heads`, and are nowhere now: neither the parent nor the old database gives them. Import their slips again."
        ),
        (None, Lang::Vi) => format!(
            "CHÚ Ý: theo tệp `heads`, {written} mục đầu của {log} được ghi tại đây khác với những mục nhận lại. Phần không có trong đó nay không còn ở đâu; hãy nhập lại các phiếu liên quan."
        ),
        (None, Lang::En) => format!(
            "ATTENTION: by the file `heads`, the first {written} entries of {log} that were written here are not those that came back. What is not among these is nowhere now; import its slips again."
        ),
    }
}

/// After `backup`.
pub(super) fn backed_up(made: &backup::Made, data: &Path, out: &Path, encrypted: bool, lang: Lang) -> Vec<String> {
    let manifest = &made.manifest;
    let (entries, logs) = (manifest.logs.iter().map(|log| log.size).sum::<u64>(), manifest.logs.len());
    let mut said = vec![match lang {
        Lang::Vi => format!("{}: {entries} mục trong {logs} sổ, {} byte.", manifest.node, made.bytes),
        Lang::En => format!("{}: {entries} entries in {logs} logs, {} bytes.", manifest.node, made.bytes),
    }];
    said.extend(made.doubt.as_ref().map(|why| match lang {
        Lang::Vi => format!(
            "CHÚ Ý: đây là bản sao của một nút đang thiếu mục hoặc bị hỏng ({why}). Những gì nút ghi sau cùng không có trong bản sao: hãy giữ các bản sao trước."
        ),
        Lang::En => format!(
            "ATTENTION: this backup is of a node that is behind or damaged ({why}). What the node wrote last is not in it: keep the backups from before."
        ),
    }));
    if !encrypted {
        said.push(match lang {
            Lang::Vi => "Bản sao không được mã hoá và chứa họ tên, số định danh: hãy giữ như giữ ổ đĩa của chính nút.".into(),
            Lang::En => {
                "It is not encrypted, and names and identifiers of persons are in it: keep it as you keep the node's own disk."
                    .into()
            }
        });
    }
    let keys = data.join("keys");
    match (manifest.keys, made.root, lang) {
        (true, _, _) => {}
        (false, false, Lang::Vi) => said.push(
            "Không có khoá riêng trong bản sao. Thiếu khoá, nút được phục hồi cần `danso-node recover --token-file`.".into(),
        ),
        (false, false, Lang::En) => said.push(
            "The private keys are not in it. Without them a restored node needs `danso-node recover --token-file`.".into(),
        ),
        (false, true, Lang::Vi) => said.push(format!(
            "Không có khoá riêng trong bản sao, và đây là nút gốc: nếu mất ổ đĩa thì không ai trả lại được chỗ của nút. \
             Hãy mã hoá bản sao (--passphrase-file), hoặc giữ thêm {} ở nơi khác.",
            keys.display()
        )),
        (false, true, Lang::En) => said.push(format!(
            "The private keys are not in it, and this is the root: if its disk is lost, nobody can give it its place back. \
             Encrypt the backup (--passphrase-file), or keep {} elsewhere, too.",
            keys.display()
        )),
    }
    said.push(match lang {
        Lang::Vi => format!("Hãy kiểm chứng: danso-node backup drill --in {}", out.display()),
        Lang::En => format!("Prove it: danso-node backup drill --in {}", out.display()),
    });
    said
}

/// After `migrate-store`.
pub(super) fn migrated(done: &migrate::Done, data: &Path, lang: Lang) -> Vec<String> {
    let next = match lang {
        Lang::Vi => format!("Tiếp theo: danso-node run --data {}", data.display()),
        Lang::En => format!("Next: danso-node run --data {}", data.display()),
    };
    let mut said = match (done, lang) {
        (migrate::Done::There, Lang::Vi) => vec!["Nút đã ở đó rồi; không có gì để chuyển.".into()],
        (migrate::Done::There, Lang::En) => vec!["The node is there already; there is nothing to move.".into()],
        (migrate::Done::Arrived, Lang::Vi) => {
            vec!["Lần chuyển trước đã xong phần sao chép và đối chiếu; nay đã hoàn tất.".into()]
        }
        (migrate::Done::Arrived, Lang::En) => {
            vec!["An earlier run had copied and compared everything; now the move is complete.".into()]
        }
        (migrate::Done::Moved(moved), Lang::Vi) => vec![format!(
            "Đã chuyển xong, hai bên giống nhau. Cơ sở dữ liệu cũ ({}) không chạy được nữa; chỉ xoá khi không còn cần. Cấu hình cũ: danso.toml.before-migrate.",
            moved.from
        )],
        (migrate::Done::Moved(moved), Lang::En) => vec![format!(
            "The node was moved, and both hold the same. The old database ({}) cannot be run any more; remove it when it is not needed. The old configuration: danso.toml.before-migrate.",
            moved.from
        )],
    };
    if let migrate::Done::Moved(moved) = done {
        said.extend(moved.aside.as_ref().map(|aside| match lang {
            Lang::Vi => format!("Tệp cũ ở chỗ này nay là {}.", aside.display()),
            Lang::En => format!("The file that was in its place is {}.", aside.display()),
        }));
    }
    said.push(next);
    said
}

/// After a `backup drill` that found nothing.
pub(super) fn drilled(lang: Lang) -> &'static str {
    match lang {
        Lang::Vi => "Bản sao tốt: mọi sổ đúng từ gốc tin cậy, và mọi thứ như lúc sao.",
        Lang::En => "The backup is good: every log verifies from the anchor, and everything is as it was.",
    }
}

/// After `restore`.
pub(super) fn restored(done: &Restored, data: &Path, lang: Lang) -> Vec<String> {
    let data = data.display();
    let mut said = match (&done.parent, done.has_key, lang) {
        (_, false, Lang::Vi) => {
            vec![format!("Bản sao không có khoá của nút. Tiếp theo: danso-node recover --data {data} --token-file TỆP")]
        }
        (_, false, Lang::En) => {
            vec![format!("Its keys were not in the backup. Next: danso-node recover --data {data} --token-file FILE")]
        }
        (Some(parent), true, Lang::Vi) => vec![
            format!("Nút không ghi gì cho đến khi {parent} xác nhận rằng nút không bị lùi."),
            format!(
                "Không bao giờ chạy khi nút gốc của bản sao vẫn đang chạy. Tiếp theo: danso-node run --data {data}"
            ),
        ],
        (Some(parent), true, Lang::En) => vec![
            format!("It writes nothing until {parent} has confirmed that it is not behind."),
            format!("Never run it while the node that it is a copy of still runs. Next: danso-node run --data {data}"),
        ],
        (None, true, Lang::Vi) => vec![
            "Nút chưa ghi gì: không có cấp trên để xác nhận rằng nút không bị lùi.".into(),
            "Nếu đây là bản sao mới nhất, và sau đó không ghi thêm gì mà cấp dưới đang giữ:".into(),
            format!("danso-node restore confirm --data {data}"),
        ],
        (None, true, Lang::En) => vec![
            "It writes nothing yet: it has no parent that could confirm that it is not behind.".into(),
            "If this is its latest backup, and nothing was written after it that a child holds:".into(),
            format!("danso-node restore confirm --data {data}"),
        ],
    };
    said.extend(done.server.as_ref().map(|server| match lang {
        Lang::Vi => format!(
            "Trước đây cơ sở dữ liệu nằm trên máy chủ ({server}); nay là một tệp trong thư mục. Muốn đưa lên máy chủ, vào một cơ sở dữ liệu trống: danso-node migrate-store --data {data} --to URL"
        ),
        Lang::En => format!(
            "Its database was on a server ({server}) and is a file in the directory now. To put it on a server, into an empty database: danso-node migrate-store --data {data} --to URL"
        ),
    }));
    said
}

/// After `restore confirm`.
pub(super) fn confirmed(lang: Lang) -> &'static str {
    match lang {
        Lang::Vi => {
            "Nút sẽ ghi lại từ lần khởi động sau, theo lời bạn rằng nút không bị lùi.\n\
             Nếu sau bản sao này nút đã chuyển sang nút cấp trên khác thì đừng khởi động: xin mã tại cấp trên mới (danso-admin child invite --node NÚT), rồi danso-node recover --token-file TỆP.\n\
             Nếu nút bị lùi, ai giữ các mục còn thiếu sẽ cho thấy hai lịch sử, và các sổ của nút sẽ bị dừng."
        }
        Lang::En => {
            "It writes again from its next start on, on your word that it is not behind.\n\
             If it moved to another parent after this backup, do not start it: a token from the new parent (danso-admin child invite --node NODE), then danso-node recover --token-file FILE.\n\
             If it is, whoever holds the missing entries will show two histories, and stop its logs."
        }
    }
}

/// An error with what is behind it. Some say themselves what is behind them, and it is not said twice.
pub(super) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.is_empty() {
        true => cause,
        false if text.ends_with(&cause) => text,
        false => format!("{text}: {cause}"),
    })
}

/// After `rebuild`: what changed.
pub(super) fn rebuilt(made: &rebuild::Made, lang: Lang) -> Vec<String> {
    let (report, mut said) = (&made.report, Vec::new());
    if report.before != report.after {
        said.push(match lang {
            Lang::Vi => "Phần được suy ra đã bị hỏng, hoặc do quy tắc khác tạo ra; nay đã đúng.".to_owned(),
            Lang::En => "What was derived had been damaged, or made by other rules; it is right now.".to_owned(),
        });
    }
    if made.indices {
        said.push(match lang {
            Lang::Vi => {
                "Chỉ mục của cơ sở dữ liệu không khớp với các bảng, và đã được lập lại. Hãy kiểm tra ổ đĩa.".into()
            }
            Lang::En => "Indices of the database did not fit their tables, and were made again. Check the disk.".into(),
        });
    }
    if report.released > 0 {
        said.push(match lang {
            Lang::Vi => {
                format!("{} phiếu đang chờ người nay đã biết: nút sẽ nhận chúng ở lần khởi động sau.", report.released)
            }
            Lang::En => {
                format!("{} slips wait for what is known now: the node takes them at its next start.", report.released)
            }
        });
    }
    if said.is_empty() {
        said.push(match lang {
            Lang::Vi => "Mọi thứ như trước.".into(),
            Lang::En => "Everything is as it was.".into(),
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use danso_proto::refusal::{Reason, Refusal};

    use super::*;

    #[test]
    fn a_rebuild_says_what_changed() {
        let made = |indices, released| {
            let derived = crate::store::Derived { tables: Vec::new() };
            let (before, after) = (derived.clone(), derived);
            let report = crate::pipeline::Report { rebuilt: Default::default(), before, after, released };
            rebuilt(&rebuild::Made { report, indices }, Lang::En)
        };
        assert_eq!(made(false, 0), ["Everything is as it was."]);
        let said = made(true, 2);
        assert!(said[0].contains("Indices") && said[1].starts_with("2 slips") && said.len() == 2, "{said:?}");
    }

    #[test]
    fn what_is_behind_an_error_is_said_once() {
        let missing = crate::config::Config::load(Path::new("/nowhere/danso.toml")).expect_err("there is none");
        let said = chain(&anyhow::Error::new(crate::app::Error::Config(missing)));
        assert_eq!(said.matches("os error 2").count(), 1, "{said}");
        assert!(said.starts_with("the configuration: "), "{said}");
    }

    #[test]
    fn both_languages_say_the_same_things() {
        let recovered = |lang| {
            let done = Recovered {
                node: "17065-0123456789abcdef".parse().expect("a node"),
                parent: Some("420-0123456789abcdef".parse().expect("a node")),
                entries: 7,
                kept: 2,
                apart: vec![("17065-0123456789abcdef/records".parse().expect("a log"), 5)],
                lost: [(3, 9), (3, 2)]
                    .map(|(here, written)| {
                        let log = "17065-0123456789abcdef/directory".parse().expect("a log");
                        Lost { log, here, written }
                    })
                    .into(),
                refused: [(
                    "412-0123456789abcdef/records".parse().expect("a log"),
                    Refusal::new(Reason::KeyNotEnrolled, "entry 3"),
                )]
                .into(),
                damage: Some("page 7".into()),
                unread: vec!["a page".into()],
                aside: Some("danso.db.before-recover-1".into()),
            };
            super::recovered(&done, Path::new("/data"), lang)
        };
        let (vi, en) = (recovered(Lang::Vi), recovered(Lang::En));
        assert_eq!(vi.len(), en.len());
        for (vi, en) in vi.iter().zip(&en) {
            let facts = |text: &str| text.matches(|c: char| c.is_ascii_digit()).collect::<String>();
            assert_eq!(facts(vi), facts(en), "{vi}\n{en}");
            assert_ne!(vi, en);
        }
        assert!(vi.iter().any(|line| line.starts_with("CHÚ Ý")), "{vi:?}");
    }
}
