//! What is told of records that are doubted and count all the same: what is wrong, why it matters, and what to do. A doubt is no accusation; who wrote the
//! record can answer that it is right as it is.

use super::{FindingText, Lang};
use crate::rules::Rule;

macro_rules! texts {
    ($($rule:ident { $what:literal, $why:literal, $next:literal; $what_vi:literal, $why_vi:literal, $next_vi:literal })*) => {
        /// What is told of a rule that a record breaks.
        pub(super) fn doubt(rule: Rule, lang: Lang) -> FindingText {
            match (rule, lang) {
                $(
                    (Rule::$rule, Lang::En) => FindingText { what: $what, why: $why, next: $next },
                    (Rule::$rule, Lang::Vi) => FindingText { what: $what_vi, why: $why_vi, next: $next_vi },
                )*
            }
        }
    };
}

texts! {
    MotherYoung {
        "The mother was very young at the birth.",
        "A wrong date of birth of the mother makes wrong figures of births by age.",
        "Look at the mother's date of birth in the household book. If it is wrong, correct it (`update` without `refers_to`), then the birth (`update`, its slip number in `refers_to`).";
        "Người mẹ còn rất nhỏ tuổi khi sinh.",
        "Ngày sinh của mẹ sai thì số sinh theo tuổi mẹ sai.",
        "Xem ngày sinh của mẹ trong sổ hộ. Nếu sai, sửa ngày sinh của mẹ (`update`, không có `refers_to`), rồi sửa phiếu sinh (`update`, số phiếu trong `refers_to`)."
    }
    MotherOld {
        "The mother was very old at the birth.",
        "Often the grandmother was written as the mother, or her year of birth is wrong; figures by age of the mother are then wrong.",
        "Look who the mother is and when she was born. Correct the mother's date of birth, or withdraw the birth slip (`retract`) and import it again with the right `mother_ref`.";
        "Người mẹ đã rất lớn tuổi khi sinh.",
        "Thường là ghi nhầm bà thành mẹ, hoặc sai năm sinh của mẹ; khi đó số sinh theo tuổi mẹ bị sai.",
        "Xem lại mẹ là ai và sinh năm nào. Sửa ngày sinh của mẹ, hoặc hủy phiếu sinh (`retract`) rồi nhập lại với đúng `mother_ref`."
    }
    OrderHigh {
        "A mother of this age can hardly have had so many children.",
        "Births of order 3 and above are reported; a slip of the pen (11 for 1) counts there.",
        "Ask for the birth order and correct it: `update`, the number of the birth slip in `refers_to`.";
        "Người mẹ ở tuổi này khó có thể có từng ấy con.",
        "Số sinh con thứ 3 trở lên được báo cáo; ghi nhầm (11 thay cho 1) sẽ bị tính vào đó.",
        "Hỏi lại con thứ mấy và sửa bằng phiếu `update`, số phiếu sinh trong `refers_to`."
    }
    MarriedAlready {
        "Somebody marries who is married by all other records.",
        "Either one marriage was told twice, or a divorce or the partner's death is missing; married women are counted by it.",
        "If it was told twice, withdraw one slip (`retract`). If the earlier marriage ended, import the divorce, or set the marital status to widowed (`update`) with the date.";
        "Người này kết hôn trong khi theo các bản ghi khác đang có vợ hoặc chồng.",
        "Hoặc một lần kết hôn được báo hai lần, hoặc thiếu phiếu ly hôn hay việc vợ (chồng) đã mất; số phụ nữ có chồng tính theo đó.",
        "Nếu báo hai lần, hãy hủy một phiếu (`retract`). Nếu cuộc hôn nhân trước đã chấm dứt, hãy nhập phiếu ly hôn, hoặc sửa tình trạng hôn nhân thành góa (`update`) kèm ngày."
    }
    DivorceUnmarried {
        "Somebody divorces who is not married by the records.",
        "A marriage is missing, or the slip is about somebody else.",
        "Look whom the slip is about. If the marriage is missing, import it or correct the marital status (`update`). If the slip is wrong, withdraw it (`retract`).";
        "Người này ly hôn trong khi theo các bản ghi không có vợ hoặc chồng.",
        "Thiếu phiếu kết hôn, hoặc phiếu này là của người khác.",
        "Xem phiếu này của ai. Nếu thiếu kết hôn, hãy nhập bổ sung hoặc sửa tình trạng hôn nhân (`update`). Nếu phiếu sai, hãy hủy (`retract`)."
    }
    MarriageYoung {
        "Somebody marries below the age of the law: 18 for women, 20 for men, unless your unit has other bounds.",
        "Child marriages are reported by themselves; a wrong date of birth would make one that is none.",
        "Look at the date of birth. If it is wrong, correct it (`update` without `refers_to`).";
        "Người này kết hôn khi chưa đủ tuổi theo luật: nữ 18, nam 20, nếu đơn vị không có mốc khác.",
        "Tảo hôn được báo cáo riêng; ngày sinh sai sẽ tạo ra một trường hợp không có thật.",
        "Xem lại ngày sinh. Nếu sai, hãy sửa (`update`, không có `refers_to`)."
    }
    ContraceptionOfMan {
        "Contraception stands on a man's record.",
        "Users are counted on the wife's record: here it is not counted.",
        "Withdraw it here (`retract`, or `update` with the number of this slip in `refers_to` and the method `none`) and import it for the wife; if the sex is wrong, correct the sex (`update` without `refers_to`).";
        "Biện pháp tránh thai được ghi cho nam giới.",
        "Người sử dụng được tính theo bản ghi của vợ: ghi ở đây thì không được tính.",
        "Hủy ở đây (`retract`, hoặc `update` với số của phiếu này trong `refers_to` và biện pháp `none`) rồi nhập cho người vợ; nếu giới tính sai, hãy sửa giới tính (`update`, không có `refers_to`)."
    }
    ContraceptionAge {
        "Contraception begins at an age at which it is not needed.",
        "The slip may be about somebody else, or the date of birth is wrong.",
        "Look whom the slip is about. Withdraw it (`retract`) or correct the date of birth (`update` without `refers_to`).";
        "Bắt đầu dùng biện pháp tránh thai ở tuổi không cần đến.",
        "Có thể phiếu này là của người khác, hoặc ngày sinh sai.",
        "Xem phiếu này của ai. Hủy phiếu (`retract`) hoặc sửa ngày sinh (`update`, không có `refers_to`)."
    }
    ContraceptionAfterSterilisation {
        "A woman who is sterilised by the records begins another method.",
        "One of the two is wrong, and users are counted by method.",
        "Ask which it is. Correct the earlier method or withdraw this slip.";
        "Theo các bản ghi người này đã triệt sản nhưng lại bắt đầu biện pháp khác.",
        "Một trong hai bản ghi sai, mà người sử dụng được tính theo biện pháp.",
        "Hỏi lại đang dùng biện pháp nào. Sửa biện pháp trước hoặc hủy phiếu này."
    }
    NumberSex {
        "The fourth digit of the personal number says the other sex.",
        "Either the sex or the number was written wrongly. It is no proof: such numbers exist.",
        "Compare with the card. Correct the sex or the number (`update`).";
        "Chữ số thứ tư của số định danh cho giới tính khác.",
        "Giới tính hoặc số định danh đã ghi sai. Đây không phải bằng chứng: vẫn có những số như vậy.",
        "Đối chiếu với thẻ căn cước. Sửa giới tính hoặc số (`update`)."
    }
    NumberYear {
        "The personal number says another year of birth.",
        "Either the date of birth or the number was written wrongly. It is no proof: such numbers exist.",
        "Compare with the card or the birth certificate. Correct the date or the number (`update`).";
        "Số định danh cho năm sinh khác.",
        "Ngày sinh hoặc số định danh đã ghi sai. Đây không phải bằng chứng: vẫn có những số như vậy.",
        "Đối chiếu với thẻ căn cước hoặc giấy khai sinh. Sửa ngày sinh hoặc số (`update`)."
    }
    NumberForm {
        "The personal number has neither 12 digits nor the 9 of an old card.",
        "A person who moves is found by it in the other commune.",
        "Copy the number from the card again: `update` without `refers_to`, with `national_id`.";
        "Số định danh không có 12 chữ số và cũng không phải 9 chữ số của thẻ cũ.",
        "Khi người này chuyển đi, xã khác tìm họ bằng số này.",
        "Chép lại số từ thẻ: phiếu `update` không có `refers_to`, với `national_id`."
    }
    InsuranceForm {
        "The health insurance number has none of its three forms: 10 digits, 12 digits, or the 15 characters of an old card.",
        "A person who moves is found by it in the other commune.",
        "Copy the number from the card again: `update` without `refers_to`, with `health_insurance_no`.";
        "Số thẻ bảo hiểm y tế không thuộc ba dạng: 10 chữ số, 12 chữ số, hoặc 15 ký tự của thẻ cũ.",
        "Khi người này chuyển đi, xã khác tìm họ bằng số này.",
        "Chép lại số từ thẻ: phiếu `update` không có `refers_to`, với `health_insurance_no`."
    }
    InsuranceOther {
        "The health insurance number is a personal number, and not the one of this person.",
        "One of the two numbers belongs to somebody else.",
        "Compare with the card and correct the wrong one: `update` without `refers_to`.";
        "Số thẻ bảo hiểm y tế là một số định danh nhưng không phải của người này.",
        "Một trong hai số là của người khác.",
        "Đối chiếu với thẻ và sửa số sai: phiếu `update` không có `refers_to`."
    }
    LunarDate {
        "Probably a lunar date: two statements of the date of birth are the lunar and the solar date of one day.",
        "The certificate bears the solar date. Month and year of birth are counted, and at the new year even the year is another one.",
        "Look at the birth certificate. If the record has the lunar date, correct it (`update`) with the solar one shown here. If it has the solar one already, answer that it is right.";
        "Có lẽ là ngày âm lịch: hai lần khai ngày sinh là ngày âm và ngày dương của cùng một ngày.",
        "Giấy khai sinh ghi ngày dương lịch. Tháng và năm sinh được tính vào số liệu, và dịp Tết thì cả năm cũng khác.",
        "Xem giấy khai sinh. Nếu bản ghi đang là ngày âm, hãy sửa (`update`) thành ngày dương nêu ở đây. Nếu đã là ngày dương, hãy trả lời là đúng."
    }
    Unnamed {
        "A newborn still has no name 60 days after the birth, or as many as your unit has set.",
        "The law gives the family 60 days to register a birth; without a name nobody finds the child again.",
        "Ask the family, help them to register the birth, and import the name: `update` without `refers_to`, with `full_name`.";
        "Trẻ sơ sinh vẫn chưa có tên sau 60 ngày, hoặc số ngày đơn vị đã đặt.",
        "Theo luật, gia đình có 60 ngày để đăng ký khai sinh; không có tên thì sau này khó tìm lại trẻ.",
        "Hỏi gia đình, hướng dẫn đăng ký khai sinh, rồi nhập tên: phiếu `update` không có `refers_to`, với `full_name`."
    }
    MotherMale {
        "The mother that the birth names is recorded as a man.",
        "Mostly the father's reference was written for the mother's.",
        "If it is the father, withdraw the birth slip (`retract`) and import it again with the mother's reference. If her sex is wrong, correct it.";
        "Người được ghi là mẹ lại có giới tính nam.",
        "Thường là ghi mã của bố thay cho mã của mẹ.",
        "Nếu đó là bố, hãy hủy phiếu sinh (`retract`) rồi nhập lại với mã của mẹ. Nếu giới tính sai, hãy sửa giới tính."
    }
    MotherDead {
        "The mother that the birth names had died before it.",
        "Either it is another mother, or the date of the death or of the birth is wrong.",
        "Ask the family. Correct the date that is wrong (`update`, its slip number in `refers_to`), or import the birth again with the right mother.";
        "Người được ghi là mẹ đã mất trước khi sinh.",
        "Hoặc mẹ là người khác, hoặc ngày mất hay ngày sinh bị sai.",
        "Hỏi gia đình. Sửa ngày sai (`update`, số phiếu trong `refers_to`), hoặc nhập lại phiếu sinh với đúng người mẹ."
    }
    MotherMonth {
        "The birth was counted with another month of birth of the mother than her record has now.",
        "Births by age of the mother are counted by what stands with the birth.",
        "If her record was corrected, correct the birth too: `update`, the number of the birth slip in `refers_to`, with `mother_ref`.";
        "Phiếu sinh được tính với tháng sinh của mẹ khác với bản ghi hiện nay của mẹ.",
        "Số sinh theo tuổi mẹ được tính theo thông tin đi cùng phiếu sinh.",
        "Nếu bản ghi của mẹ đã được sửa, hãy sửa cả phiếu sinh: `update`, số phiếu sinh trong `refers_to`, kèm `mother_ref`."
    }
    BirthsClose {
        "Two births of one mother are only a few months apart, and they are no twins.",
        "Mostly one date is wrong, one birth was told twice, or the mother is another one.",
        "Look at both slips. Correct the wrong date (`update`), or withdraw the slip that is wrong (`retract`). Twins have dates that are a few days apart at most.";
        "Hai lần sinh của cùng một mẹ chỉ cách nhau vài tháng mà không phải sinh đôi.",
        "Thường là sai ngày, báo sinh hai lần, hoặc nhầm mẹ.",
        "Xem lại cả hai phiếu. Sửa ngày sai (`update`), hoặc hủy phiếu sai (`retract`). Sinh đôi thì ngày sinh chỉ cách nhau nhiều nhất vài ngày."
    }
    BirthTwice {
        "One birth seems to be told twice: same mother, sex, birth order and date.",
        "If it is one child, it is counted twice.",
        "If they are twins, answer that it is right. If it is one child told twice, withdraw one slip (`retract`).";
        "Có vẻ một lần sinh được báo hai lần: cùng mẹ, giới tính, thứ tự con và ngày.",
        "Nếu là một trẻ thì trẻ đó bị tính hai lần.",
        "Nếu là sinh đôi, hãy trả lời là đúng. Nếu là một trẻ được báo hai lần, hãy hủy một phiếu (`retract`)."
    }
    OrderWrong {
        "The birth order does not follow that of the birth before.",
        "Births of order 3 and above are reported.",
        "Ask how many children there were, and correct the wrong one of both: `update`, the number of the birth slip in `refers_to`. Twins may have one order or two.";
        "Thứ tự con không nối tiếp lần sinh trước.",
        "Số sinh con thứ 3 trở lên được báo cáo.",
        "Hỏi lại đã có mấy con và sửa phiếu sai: `update`, số phiếu sinh trong `refers_to`. Sinh đôi có thể ghi một thứ tự hoặc hai."
    }
    ContraceptionPregnant {
        "A method began that nobody begins in pregnancy, a few months before a birth.",
        "One of the two dates is wrong, or the slip is about somebody else.",
        "Look at both slips and correct the wrong date (`update`, its slip number in `refers_to`).";
        "Bắt đầu một biện pháp không dùng khi mang thai, chỉ vài tháng trước khi sinh.",
        "Một trong hai ngày sai, hoặc phiếu là của người khác.",
        "Xem lại cả hai phiếu và sửa ngày sai (`update`, số phiếu trong `refers_to`)."
    }
    UnitOfOtherList {
        "On the day of the event the code was another unit than in the list in use: since 1 July 2025 many codes mean a larger commune (17035 was a town).",
        "A move would be counted as coming from, or going to, the wrong place.",
        "Look which commune is meant by its name, and correct the code (`update`, the slip number in `refers_to`).";
        "Vào ngày xảy ra, mã này là đơn vị khác so với danh mục đang dùng: từ 01/07/2025 nhiều mã chỉ xã lớn hơn (17035 trước là thị trấn).",
        "Việc chuyển đi hay chuyển đến sẽ bị tính nhầm nơi.",
        "Xem tên xã để biết là xã nào, rồi sửa mã (`update`, số phiếu trong `refers_to`)."
    }
    HamletUnknown {
        "The commune has no hamlet of this name.",
        "Figures by hamlet leave the record out.",
        "Look whether the name is written as in the household book, or is the old name of a hamlet, and correct it (`update`).";
        "Xã không có thôn bản nào mang tên này.",
        "Số liệu theo thôn bản sẽ không tính bản ghi này.",
        "Xem tên có viết đúng như trong sổ hộ không, hay là tên cũ của thôn bản, rồi sửa (`update`)."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_explained_in_both_languages() {
        for rule in Rule::ALL {
            for lang in [Lang::Vi, Lang::En] {
                let FindingText { what, why, next } = doubt(*rule, lang);
                for text in [what, why, next] {
                    assert!(text.ends_with('.') && text.len() > 20, "{rule} {lang}: {text}");
                }
                assert!(!what.contains(rule.code()), "{rule}: for people, not for programs");
            }
            assert_ne!(doubt(*rule, Lang::Vi).what, doubt(*rule, Lang::En).what);
        }
    }

    #[test]
    fn what_to_do_leads_nowhere_wrong() {
        for lang in [Lang::Vi, Lang::En] {
            // Twins keep their orders.
            let twice = doubt(Rule::BirthTwice, lang).next;
            assert!(twice.contains("`retract`") && !twice.contains("`update`"), "{twice}");
            // Without it the update would say that he uses none since then, and the slip would stand.
            assert!(doubt(Rule::ContraceptionOfMan, lang).next.contains("`refers_to`"));
        }
    }
}
