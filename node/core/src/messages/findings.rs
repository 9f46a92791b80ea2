//! What is told of records that are in a log and cannot be counted. Here a file is not corrected and imported again, as with a row that was
//! refused: what was signed stays, and another slip corrects it. So the next step is always a slip.

use danso_proto::refusal::Reason;

use super::Lang;

/// What is wrong, and what to do next; `None` for a reason that is none of a finding.
pub(super) fn sentences(reason: Reason, lang: Lang) -> Option<(&'static str, &'static str)> {
    Some(match (reason, lang) {
        (Reason::PersonUnknown, Lang::En) => (
            "The record is about a person of whom nothing says when that person came to live here.",
            "Import the household book or the slip by which the person was born or arrived; if this record is wrong, withdraw it: `retract`, with its number in `refers_to`.",
        ),
        (Reason::PersonUnknown, Lang::Vi) => (
            "Bản ghi nói về một người mà không có gì cho biết người đó đến cư trú từ khi nào.",
            "Nhập sổ hộ gia đình, hoặc phiếu sinh hay phiếu chuyển đến của người đó; nếu bản ghi này sai, hãy hủy nó bằng phiếu `retract` với số của nó trong `refers_to`.",
        ),
        (Reason::NotResident, Lang::En) => (
            "By all other records the person did not live here at that time: not yet, no more, or not alive.",
            "If the date is wrong, correct it: `update`, with the number of this slip in `refers_to`. If this record is wrong, withdraw it: `retract`. If an earlier departure or death is wrong, withdraw that one instead.",
        ),
        (Reason::NotResident, Lang::Vi) => (
            "Theo các bản ghi khác, lúc đó người này không cư trú tại đây: chưa đến, đã đi, hoặc đã mất.",
            "Nếu ngày sai, hãy sửa bằng phiếu `update` với số của phiếu này trong `refers_to`. Nếu bản ghi này sai, hãy hủy nó bằng phiếu `retract`. Nếu lần chuyển đi hay tử vong trước đó sai, hãy hủy phiếu đó.",
        ),
        (Reason::AlreadyResident, Lang::En) => (
            "By all other records the person lived here already when this arrival is said to be.",
            "If it was reported twice, withdraw the wrong one: `retract`, with its number in `refers_to`. If the person had left in between, import the slip `move_out` that is missing.",
        ),
        (Reason::AlreadyResident, Lang::Vi) => (
            "Theo các bản ghi khác, lúc chuyển đến người này đã cư trú tại đây rồi.",
            "Nếu báo cáo hai lần, hãy hủy phiếu sai bằng phiếu `retract` với số của nó trong `refers_to`. Nếu người đó đã chuyển đi trước đó, hãy nhập phiếu `move_out` còn thiếu.",
        ),
        (Reason::CorrectsNothing, Lang::En) => (
            "The correction names a record that is not about this person and unit.",
            "Import the correction again under a new number, with the right person and `refers_to`, and withdraw this one: `retract`.",
        ),
        (Reason::CorrectsNothing, Lang::Vi) => (
            "Phiếu sửa này chỉ tới một bản ghi không phải của người và đơn vị này.",
            "Nhập lại phiếu sửa với số mới, đúng mã người và `refers_to`, rồi hủy phiếu này bằng phiếu `retract`.",
        ),
        (Reason::DateInvalid, Lang::En) => (
            "The record has a date that does not exist.",
            "Withdraw it: `retract`, with its number in `refers_to`; then import it under a new number with the right date.",
        ),
        (Reason::DateInvalid, Lang::Vi) => (
            "Bản ghi có ngày không tồn tại.",
            "Hủy nó bằng phiếu `retract` với số của nó trong `refers_to`, rồi nhập lại với số mới và ngày đúng.",
        ),
        (Reason::EventAfterReport, Lang::En) => (
            "The event is later than the month in which it was recorded.",
            "Correct the date: `update`, with the number of this slip in `refers_to` and the right `event_date`.",
        ),
        (Reason::EventAfterReport, Lang::Vi) => (
            "Ngày xảy ra muộn hơn tháng ghi nhận.",
            "Sửa ngày bằng phiếu `update` với số của phiếu này trong `refers_to` và `event_date` đúng.",
        ),
        (Reason::EventBeforeBirth, Lang::En) => (
            "The event is before the person's month of birth.",
            "If its date is wrong, correct it: `update`, with the number of this slip in `refers_to`. If the date of birth is wrong, correct that: `update` without `refers_to`, with the right `birth_date`.",
        ),
        (Reason::EventBeforeBirth, Lang::Vi) => (
            "Ngày xảy ra trước tháng sinh của người này.",
            "Nếu ngày xảy ra sai, hãy sửa bằng phiếu `update` với số của phiếu này trong `refers_to`. Nếu ngày sinh sai, hãy sửa bằng phiếu `update` không có `refers_to`, với `birth_date` đúng.",
        ),
        (Reason::KindUnknown, Lang::En) => (
            "The node that says so has an older version, which does not know this kind of record: it is kept, handed on and not counted there.",
            "There is nothing to correct: the operator of that node updates its software, and the record then counts.",
        ),
        (Reason::KindUnknown, Lang::Vi) => (
            "Nút nói điều này dùng phiên bản cũ chưa biết loại bản ghi này: nó được giữ lại, chuyển tiếp và chưa được tính ở đó.",
            "Không có gì phải sửa: người vận hành nút đó cập nhật phần mềm, rồi bản ghi sẽ được tính.",
        ),
        _ => return None,
    })
}
