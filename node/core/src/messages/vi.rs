//! The sentences in Vietnamese: what was wrong, and what to do next. This room may not know arguments.

use danso_proto::refusal::Reason;

/// A personal number that says another sex or year of birth than the row; the row is taken.
pub(super) const NUMBER_CONTRADICTS: (&str, &str) = (
    "Dòng đã được nhận, nhưng số định danh cho thấy giới tính hoặc năm sinh khác với dòng này.",
    "Đối chiếu với thẻ căn cước; nếu sai thì lập phiếu cập nhật.",
);

pub(super) fn sentences(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Malformed => {
            ("Không đọc được dữ liệu nhận được.", "Hãy gửi lại; nếu vẫn lỗi, báo mã lỗi này cho đơn vị cấp trên.")
        }
        Reason::EnvelopeTypeUnknown => {
            ("Phiên bản này không biết loại phong bì dữ liệu này.", "Hãy cập nhật phần mềm của nút này.")
        }
        Reason::SignatureInvalid => (
            "Chữ ký không khớp với nội dung; nội dung đã bị sửa hoặc bị hỏng.",
            "Không sử dụng; đề nghị đơn vị lập gửi lại.",
        ),
        Reason::KeyNotEnrolled => (
            "Khóa ký chưa được đăng ký cho nút này.",
            "Hỏi đơn vị cấp trên xem nút đã tham gia chưa và với khóa nào. Nếu nút được dựng lại từ bản sao lưu cũ, có trước khi đổi khóa: xin mã từ cấp trên (`danso-admin child invite --node NODE`) và chạy `danso-node recover --token-file TỆP` vào một thư mục trống.",
        ),
        Reason::KeyRevoked => {
            ("Sổ ghi của nút này đã bị thu hồi từ trước mục này.", "Liên hệ đơn vị cấp trên; nút phải tham gia lại.")
        }
        Reason::PlaceLost => (
            "Nút mất chỗ, vì nút đã kết nạp nó bị thu hồi.",
            "Đề nghị người vận hành một nút ở trên nút bị thu hồi cấp chỗ: `danso-admin child invite --node NODE` tại đó, rồi `danso-node recover --token-file` tại đây.",
        ),
        Reason::OutOfScope => (
            "Nút đã ghi về một đơn vị không phải của mình và không trực thuộc mình.",
            "Để chính đơn vị đó hoặc đơn vị cấp trên của nó báo cáo.",
        ),
        Reason::WrongStream => ("Loại biến động này không thuộc sổ ghi này.", "Hãy cập nhật phần mềm của nút đã ghi."),
        Reason::UnitsVersionUnknown => (
            "Danh mục đơn vị được nêu chưa về tới đây.",
            "Chờ danh mục từ cấp trên chuyển xuống; mục này sẽ tự được nhận.",
        ),
        Reason::UnitUnknown => (
            "Mã đơn vị không có trong danh mục đơn vị hành chính.",
            "Sửa lại mã: dùng mã chính thức của danh mục hiện hành, kể cả số 0 ở đầu.",
        ),
        Reason::SequenceGap => {
            ("Còn thiếu các mục trước mục này.", "Không phải làm gì: các mục thiếu sẽ được yêu cầu gửi lại.")
        }
        Reason::PreviousHashWrong => {
            ("Mục này không nối tiếp mục liền trước.", "Sổ ghi đã bị dừng; liên hệ người vận hành nút đã ghi.")
        }
        Reason::ReplayDiffers => {
            ("Tại vị trí này của sổ ghi đã lưu một mục khác.", "Sổ ghi đã bị dừng; liên hệ người vận hành nút đã ghi.")
        }
        Reason::LogShorter => (
            "Sổ ghi ngắn hơn phần đã được xác nhận: nút bị mất dữ liệu hoặc được khôi phục từ bản sao lưu cũ.",
            "Giữ nguyên thư mục của nút đó, không ghi thêm gì, và liên hệ người vận hành nút cấp trên, nơi giữ các mục còn thiếu.",
        ),
        Reason::RootDiffers => (
            "Sổ ghi có hai lịch sử khác nhau.",
            "Sổ ghi đã bị dừng và chứng cứ được giữ lại: xem `danso-admin quarantine list`, và liên hệ người vận hành của cả hai nút.",
        ),
        Reason::NoContradiction => (
            "Hai lời khai có thể cùng đúng: tệp này không chứng minh điều gì.",
            "Không dùng tệp này để quy trách nhiệm; xuất lại chứng cứ từ nút đã phát hiện.",
        ),
        Reason::NotQuarantined => (
            "Không có gì phải quyết định về sổ ghi này.",
            "Xem `danso-admin quarantine list` để biết những sổ bị dừng và lý do.",
        ),
        Reason::DecidedElsewhere => (
            "Sổ ghi này do một nút khác quyết định.",
            "Gửi tệp chứng cứ (`danso-admin evidence export`) cho người vận hành của nút được nêu tên.",
        ),
        Reason::LogQuarantined => (
            "Sổ ghi này bị dừng cho đến khi người vận hành quyết định.",
            "Liên hệ người vận hành nút này: `danso-admin quarantine list` cho biết lý do và ai quyết định.",
        ),
        Reason::CheckpointInvalid => {
            ("Điểm chốt không phải của sổ ghi này hoặc chữ ký sai.", "Lấy lại điểm chốt từ nút đã ghi sổ.")
        }
        Reason::ReceiptInvalid => (
            "Biên nhận không do nút được nêu tên ký.",
            "Không tin vào biên nhận này; chờ biên nhận khác hoặc hỏi cấp trên.",
        ),
        Reason::CommitmentMismatch => {
            ("Phần thông tin cá nhân không khớp với nội dung đã ký.", "Không sử dụng; đề nghị đơn vị lập gửi lại.")
        }
        Reason::TooLarge => (
            "Dữ liệu lớn hơn mức cho phép.",
            "Hãy chia thành các phần nhỏ hơn; nếu không chia được, phần chi tiết nêu cách khác.",
        ),
        Reason::InflatesTooFar => ("Gói dữ liệu khi giải nén lớn hơn mức cho phép.", "Không sử dụng; hỏi lại nơi gửi."),
        Reason::LogNotForLink => (
            "Sổ ghi này không được gửi qua kết nối này.",
            "Kiểm tra nút đang kết nối; người vận hành nút đó phải sửa cấu hình.",
        ),
        Reason::CertificateMissing => {
            ("Kết nối không có chứng thư của máy khách.", "Trước hết hãy cho nút tham gia bằng `danso-node join`.")
        }
        Reason::CertificateUnknown => (
            "Chứng thư không thuộc nút cấp dưới nào của nút này.",
            "Cho nút tham gia bằng mã mời của nút này, hoặc kết nối tới đúng nút cấp trên.",
        ),
        Reason::CertificateExpired => (
            "Chứng thư kết nối không có hiệu lực vào lúc này: đã hết hạn hoặc chưa tới hạn.",
            "Không phải làm gì: nút tự chứng minh bằng khóa sổ ghi và nhận chứng thư mới. Nếu vẫn còn, kiểm tra đồng hồ của cả hai máy.",
        ),
        Reason::ClockSkew => (
            "Đồng hồ của hai nút lệch nhau.",
            "Chỉnh lại đồng hồ máy này; nếu giờ đã đúng, báo người vận hành nút bên kia. Dữ liệu vẫn được chuyển.",
        ),
        Reason::RenewProofInvalid => (
            "Nút không chứng minh được rằng mình giữ khóa sổ ghi đã đăng ký.",
            "Khôi phục keys/log.pem từ bản sao lưu; nếu đã mất khóa, xin đơn vị cấp trên mã mời mới.",
        ),
        Reason::TooManyCalls => (
            "Có quá nhiều lời gọi không có chứng thư trên một kết nối.",
            "Hãy kết nối lại. Nếu không phải nút của mình gọi, có người đang dò cổng: báo người vận hành.",
        ),
        Reason::NotAChild => (
            "Nút này chưa được đăng ký là cấp dưới của nút đang kết nối.",
            "Xin mã mời từ người vận hành ở đây rồi tham gia bằng mã đó.",
        ),
        Reason::ProtocolUnsupported => ("Hai nút không có phiên bản giao thức chung.", "Hãy cập nhật nút cũ hơn."),
        Reason::FrameUnexpected => {
            ("Nhận được một thông điệp không đúng lúc.", "Kết nối sẽ tự mở lại; nếu lặp lại, hãy cập nhật phần mềm.")
        }
        Reason::SessionReplaced => (
            "Một phiên mới hơn của cùng nút đã thay thế phiên này.",
            "Nếu chỉ được chạy một nút, hãy tìm nút thứ hai dùng cùng dữ liệu.",
        ),
        Reason::TokenGarbled => ("Không đọc được mã mời.", "Chép lại toàn bộ mã mời, từ ký tự đầu đến ký tự cuối."),
        Reason::TokenUnknown => ("Nút này chưa từng cấp mã mời đó.", "Kiểm tra địa chỉ, hoặc xin mã mời mới."),
        Reason::TokenUsed => {
            ("Mã mời đã được một nút khác sử dụng.", "Xin mã mời mới bằng `danso-admin child invite`.")
        }
        Reason::TokenExpired => ("Mã mời đã hết hạn.", "Xin mã mời mới bằng `danso-admin child invite`."),
        Reason::TokenWrongUnit => (
            "Mã mời dành cho việc khác: cho đơn vị hoặc nút khác, hoặc để tham gia mà lại dùng để khôi phục, hoặc ngược lại.",
            "Dùng mã với đúng lệnh đã nêu khi tạo mã (`danso-node join` hoặc `danso-node recover`), hoặc xin mã cho đúng đơn vị hay nút của mình.",
        ),
        Reason::JoinProofInvalid => (
            "Nút xin tham gia không chứng minh được là đang giữ khóa của mình.",
            "Chạy lại `danso-node join`; nếu vẫn lỗi, bắt đầu với thư mục trống.",
        ),
        Reason::AnchorMismatch => (
            "Nút cấp trên không phải là nút nêu trong mã mời.",
            "Dừng lại; kiểm tra địa chỉ và xin mã mời mới qua đường an toàn.",
        ),
        Reason::AlreadyJoined => ("Thư mục này đã có một nút.", "Dùng thư mục khác, hoặc chạy nút đang có."),
        Reason::UnitNotBelow => {
            ("Đơn vị này không trực thuộc đơn vị của nút này.", "Hãy mời từ nút của đơn vị cấp trên của nó.")
        }
        Reason::LinkDown => ("Không liên lạc được với đầu bên kia.", "Kiểm tra mạng và địa chỉ; nút sẽ tự thử lại."),
        Reason::RequestInvalid => (
            "Không thực hiện được như đã nêu.",
            "Sửa điều mà phần chi tiết nêu rồi làm lại; `--help` cho biết cách viết.",
        ),
        Reason::QueryInvalid => ("Không hiểu được câu hỏi.", "Sửa lại đơn vị, tháng, chỉ tiêu hoặc phân tổ."),
        Reason::ChildUnavailable => (
            "Một nút cấp dưới cần cho câu trả lời đang không kết nối.",
            "Hỏi lại sau, hoặc lấy số liệu của nút này bằng `--source local`.",
        ),
        Reason::UnitHasNode => (
            "Đơn vị này đã có nút; nút thứ hai sẽ làm người dân bị tính hai lần.",
            "Khởi động lại nút đó. Nếu mất ổ đĩa: `danso-admin child invite --node NODE`, rồi `danso-node recover` tại nút. Nếu muốn thay nút và nhập lại sổ hộ, trước hết `danso-admin child revoke NODE --size NODE/records=0 --reason ...`, rồi mời bằng `--again`.",
        ),
        Reason::UnitHasRecords => (
            "Nút khác đã ghi dữ liệu về đơn vị này mà nút mới không giữ: nhập lại cùng sổ hộ ở đó sẽ làm người dân bị tính hai lần.",
            "Nếu nút mới chỉ nộp phiếu mới, mời bằng `--again`.",
        ),
        Reason::TwoAuthors => (
            "Một nút khác của đơn vị này đã ghi dữ liệu đang được tính: người nào cả hai nút cùng nhập sẽ bị tính hai lần.",
            "Nếu nút kia đã mất hẳn, nút cấp trên của nó bỏ toàn bộ dữ liệu của nó trước: `danso-admin child revoke NODE --size NODE/records=0 --reason ...`, rồi mới nhập lại sổ hộ. Nếu không, nút mới chỉ nhập phiếu mới.",
        ),
        Reason::ChildIncomplete => (
            "Một nút cấp dưới không giữ đủ các bản ghi về đơn vị của nó: một số do nút khác ghi.",
            "Lấy số liệu của nút này bằng `--source local`.",
        ),
        Reason::AnswerInvalid => (
            "Câu trả lời của nút cấp dưới không khớp với câu hỏi hoặc chữ ký.",
            "Không sử dụng; liên hệ người vận hành nút đó.",
        ),
        Reason::NotFound => ("Không có thứ được hỏi ở đây.", "Kiểm tra lại tên."),
        Reason::BackupDamaged => (
            "Tệp này không phải là bản sao lưu nguyên vẹn của nút: tệp bị hỏng, bị cắt ngắn, hoặc là tệp khác.",
            "Dùng một bản sao khác hoặc bản sao lưu cũ hơn, và kiểm tra trước: danso-node backup drill --in TỆP.",
        ),
        Reason::PassphraseWrong => (
            "Bản sao lưu đã được mã hóa, và mật khẩu này không mở được.",
            "Đưa đúng mật khẩu đã dùng khi sao lưu, bằng --passphrase-file; không có mật khẩu thì không ai đọc được bản sao lưu.",
        ),
        Reason::DirectoryNotEmpty => (
            "Nơi được chỉ ra đã có sẵn dữ liệu.",
            "Chọn tên tệp mới hoặc thư mục trống: sao lưu và khôi phục không bao giờ ghi đè.",
        ),
        Reason::ReadOnly => (
            "Nút báo điều này không ghi gì: cơ sở dữ liệu của nó là bản cũ và những gì ghi sau đó đang thiếu, hoặc chưa ai xác nhận rằng đó không phải bản cũ.",
            "Nếu nút cấp trên báo như vậy: người vận hành ở đó phải khôi phục nút cấp trên trước, sau đó làm lại tại đây. Nếu là nút này và vừa khôi phục: chờ kết nối, nút cấp trên sẽ xác nhận. Nếu là bản cũ: đặt lại đúng cơ sở dữ liệu, hoặc dừng nút và chạy `danso-node recover --data DIR` để lấy lại các mục còn thiếu từ nút cấp trên (nút có cơ sở dữ liệu trên máy chủ: vào một thư mục trống, bằng mã mời của nút cấp trên, `danso-node recover --data MỚI --token-file TỆP`). Nút gốc không có cấp trên: phục hồi bản sao lưu mới nhất vào thư mục mới (`danso-node restore`).",
        ),
        Reason::BehindBelow => (
            "Nút báo điều này còn thiếu các mục của những nút cấp dưới, vì đã được đặt lại từ bản cũ: số liệu của nó thấp hơn thực tế.",
            "Để các nút được nêu tên kết nối: chúng sẽ tự gửi lại. Nút nào không trở lại thì dừng nút báo điều này và chạy `danso-node recover --data DIR` tại đó (nếu cơ sở dữ liệu ở trên máy chủ: vào một thư mục trống, bằng mã mời).",
        ),
        Reason::MovedAway => (
            "Nút của một đơn vị nay trực thuộc nút khác: những gì nút đó ghi không còn đến nút báo điều này, nên số liệu về đơn vị đó dừng tại đó.",
            "Lấy số liệu của đơn vị đó từ nút cấp trên mới được nêu tên, hoặc từ nút ở cấp cao hơn.",
        ),
        Reason::ShuttingDown => ("Nút đang dừng.", "Thử lại khi nút đã chạy."),
        Reason::DiskFull => (
            "Ổ đĩa còn quá ít chỗ trống; không mất gì, nhưng chưa nhận thêm gì mới.",
            "Hãy giải phóng chỗ trống hoặc dùng ổ đĩa lớn hơn: nút sẽ tự làm tiếp. Nhập lại những gì đã bị từ chối.",
        ),
        Reason::StoreUnavailable => (
            "Máy chủ cơ sở dữ liệu không trả lời, hiện không cho ghi, hoặc đang quá tải; những gì đã được xác nhận không bị mất.",
            "Kiểm tra máy chủ có đang chạy, kết nối được và cho phép ghi không (sau khi chuyển sang máy dự phòng: máy đó đã được nâng lên làm máy chính chưa), và không ai khác đang khóa các bảng: nút sẽ tự làm tiếp. Hãy xem yêu cầu của bạn đã được lưu chưa trước khi gửi lại.",
        ),
        Reason::StoreTaken => (
            "Một tiến trình khác đã mở cơ sở dữ liệu của nút này trên máy chủ, hoặc máy chủ vừa thay thế còn thiếu những gì được ghi sau cùng; nút đã dừng, không mất gì đã được xác nhận từ đó.",
            "Kiểm tra không có nút nào khác dùng cơ sở dữ liệu này, kể cả trên máy khác, rồi khởi động lại nút. Nếu máy chủ thiếu dữ liệu: đưa đúng máy chủ trở lại; nếu không được, dựng lại nút trong một thư mục trống, bằng mã mời của nút cấp trên (`danso-node recover --data MỚI --token-file TỆP`) hoặc từ bản sao lưu mới nhất (`danso-node restore`).",
        ),
        Reason::StoreNotEmpty => (
            "Cơ sở dữ liệu được chỉ ra không trống.",
            "Hãy tạo một cơ sở dữ liệu dành riêng cho nút này (CREATE DATABASE) rồi chỉ ra cơ sở dữ liệu đó: không bao giờ ghi đè lên dữ liệu đã có.",
        ),
        Reason::StoreUnsafe => (
            "Máy chủ cơ sở dữ liệu có thể mất những gì nó đã xác nhận khi máy bị mất điện.",
            "Đặt `fsync = on` và `full_page_writes = on` trong postgresql.conf của máy chủ, cho máy chủ đọc lại (`SELECT pg_reload_conf()`), rồi khởi động lại nút. Trước đó, một lần mất điện tại máy chủ có thể làm mất các mục mà nơi khác đã có biên nhận.",
        ),
        Reason::StoreDamaged => (
            "Cơ sở dữ liệu bị hỏng: nội dung không còn như khi ghi.",
            "Dừng nút và giữ nguyên thư mục; kiểm tra ổ đĩa; rồi phục hồi bản sao lưu hoặc chạy `danso-node recover --data DIR`; nếu cơ sở dữ liệu ở trên máy chủ thì khôi phục vào một thư mục trống, bằng mã mời của nút cấp trên (`danso-node recover --data MỚI --token-file TỆP`), rồi chuyển sang cơ sở dữ liệu khác. Lệnh `danso-node doctor --data DIR` cho biết hỏng ở đâu.",
        ),
        Reason::DerivedDiffers => (
            "Sổ đăng ký hoặc số liệu không khớp với những gì các sổ gốc cho ra.",
            "Dừng nút và chạy `danso-node rebuild --data DIR` để lập lại chúng từ các sổ gốc.",
        ),
        Reason::StoreMoved => (
            "Nút không nằm trong cơ sở dữ liệu này: nút đã được chuyển sang cơ sở dữ liệu khác, hoặc việc chuyển vào đây bị ngắt giữa chừng.",
            "Nếu việc chuyển bị ngắt: chạy lại `danso-node migrate-store` đúng như lần trước, lệnh sẽ làm tiếp. Nếu không: chạy nút với cấu hình ghi cơ sở dữ liệu mới. Hai cơ sở dữ liệu của một nút cùng được ghi sẽ tạo ra hai lịch sử của các sổ.",
        ),
        Reason::DerivedUncompared => (
            "Nút đã không dừng đúng cách, và từ đó sổ đăng ký và số liệu chưa được đối chiếu với các sổ gốc.",
            "Mọi việc vẫn tiếp tục. Chạy `danso-admin doctor` để đối chiếu; nếu lệnh báo cơ sở dữ liệu quá lớn, dừng nút và chạy `danso-node rebuild --data DIR`.",
        ),
        Reason::HeadsMissing => (
            "Tệp `heads`, dùng để nhận ra bản cũ của cơ sở dữ liệu, bị thiếu hoặc không đọc được.",
            "Nếu vừa phục hồi cơ sở dữ liệu thì đây là điều bình thường; nút sẽ lập lại tệp khi khởi động lần sau.",
        ),
        Reason::ClockWrong => (
            "Đồng hồ của máy này không thể đúng.",
            "Chỉnh lại giờ (`timedatectl`) và kiểm tra pin đồng hồ. Không có gì bị từ chối vì việc này, nhưng bản ghi mới sẽ mang giờ sai.",
        ),
        Reason::CertificateEnds => (
            "Chứng thư của liên kết lên cấp trên sắp hết hạn hoặc đã hết hạn.",
            "Giữ cho nút được nối mạng để nó tự gia hạn chứng thư; nếu không, hãy gọi người vận hành nút cấp trên.",
        ),
        Reason::KeyFileUnfit => (
            "Một tệp khóa bị thiếu, không phải là khóa, hoặc người khác đọc được.",
            "Đặt quyền 0600 và chủ sở hữu là người dùng chạy nút; nếu đã mất khóa, chạy `danso-node recover --data DIR --token-file FILE`.",
        ),
        Reason::FileUnfit => (
            "Một tệp mà nút cần để khởi động bị thiếu, bị hỏng, hoặc không khớp với khóa.",
            "Lấy lại tệp từ bản sao lưu: chạy `danso-node restore` vào một thư mục trống rồi chép tệp đó. Với nút có cấp trên, chứng thư cũng được cấp lại: dời chúng đi rồi chạy `danso-node recover --data DIR --token-file FILE`.",
        ),
        Reason::Internal => ("Đây là lỗi của nút.", "Thử lại; nếu vẫn lỗi, gửi nhật ký của nút cho người phụ trách."),
        Reason::FileFormat => {
            ("Tệp không phải CSV và cũng không phải XLSX.", "Lưu bảng thành CSV (UTF-8) hoặc XLSX rồi nhập tệp đó.")
        }
        Reason::FileEmpty => (
            "Tệp không có dòng tiêu đề hoặc không có dòng nào.",
            "Kiểm tra xem có đúng tệp không, và dòng đầu phải có tên các cột.",
        ),
        Reason::FileEncoding => ("Tệp không ở dạng mã UTF-8.", "Lưu lại thành CSV UTF-8."),
        Reason::FileTruncated => {
            ("Tệp bị ngắt giữa chừng một dòng.", "Lấy lại tệp đầy đủ; những gì đã nhận vẫn được giữ.")
        }
        Reason::FileTooLarge => (
            "Tệp lớn hơn mức cho phép.",
            "Chia thành nhiều tệp, tệp nào cũng có dòng tiêu đề; bảng lớn hãy nhập bằng CSV.",
        ),
        Reason::ColumnMissing => ("Thiếu cột bắt buộc.", "Thêm các cột với tên này vào dòng đầu."),
        Reason::ColumnTwice => ("Hai cột có cùng ý nghĩa.", "Xóa hoặc đổi tên một trong hai cột."),
        Reason::RowShape => (
            "Dòng có nhiều hoặc ít ô hơn dòng tiêu đề.",
            "Đặt nội dung có dấu phẩy trong dấu ngoặc kép, hoặc lưu lại tệp từ bảng tính.",
        ),
        Reason::FieldMissing => ("Ô bắt buộc đang để trống.", "Điền vào rồi nhập lại dòng này."),
        Reason::FieldTooLong => ("Nội dung ô dài hơn mức cho phép.", "Rút ngắn lại; số ghi kèm là số ký tự."),
        Reason::ValueUnknown => (
            "Giá trị không nằm trong các giá trị đã biết.",
            "Dùng một trong các từ của biểu mẫu; xem `danso-admin import --help`.",
        ),
        Reason::NumberInvalid => ("Không đọc được số này hoặc số không hợp lý.", "Ghi số nguyên, không kèm đơn vị đo."),
        Reason::CellIsNumber => (
            "Ô này chứa một số, mà bảng tính bỏ các chữ số 0 của số.",
            "Định dạng cột là văn bản rồi gõ lại mã hoặc số phiếu.",
        ),
        Reason::BirthDateDiffers => {
            ("Ngày sinh khác với ngày xảy ra của biến động sinh.", "Sửa lại ngày bị sai trong hai ngày này.")
        }
        Reason::DateInvalid => (
            "Ngày này không tồn tại hoặc không đọc được.",
            "Ghi YYYY-MM-DD hoặc DD/MM/YYYY; ngày âm lịch ghi DD/MM/YYYY, tháng nhuận ghi DD/MM+/YYYY.",
        ),
        Reason::DateInFuture => {
            ("Ngày này sau ngày hôm nay.", "Sửa lại ngày, hoặc nhập dòng này khi sự việc đã xảy ra.")
        }
        Reason::EventAfterReport => ("Ngày xảy ra sau ngày báo cáo.", "Sửa lại ngày xảy ra hoặc ngày báo cáo."),
        Reason::EventBeforeBirth => {
            ("Sự việc xảy ra trước khi người này sinh ra.", "Sửa lại ngày xảy ra, hoặc mã người và ngày sinh.")
        }
        Reason::PersonMissing => ("Dòng không cho biết về người nào.", "Điền mã người theo sổ hộ gia đình (A0)."),
        Reason::ChangeTypeUnknown => (
            "Không có loại biến động này.",
            "Dùng một trong: Sinh, Chết, Kết hôn, Ly hôn, Chuyển đi, Chuyển đến, Tránh thai, Cập nhật, Hủy.",
        ),
        Reason::MoveInsideCommune => {
            ("Chuyển trong cùng một xã không phải là chuyển đi.", "Hãy lập phiếu cập nhật với số hộ mới.")
        }
        Reason::UnitNotCommune => {
            ("Không có ai cư trú trực tiếp ở đơn vị thuộc cấp này.", "Ghi mã của đơn vị cấp thấp nhất nơi hộ đang ở.")
        }
        Reason::UnitNotOurs => (
            "Đơn vị này không phải của nút này và không trực thuộc nút này.",
            "Thực hiện việc này tại nút của đơn vị đó hoặc nút cấp trên của nó.",
        ),
        Reason::IdentifierInvalid => (
            "Số không đúng dạng.",
            "Số định danh có 12 chữ số (thẻ cũ 9), số thẻ bảo hiểm y tế có 10, 12 hoặc 15 ký tự; định dạng cột là văn bản để giữ số 0 ở đầu. Số ghi kèm là số ký tự.",
        ),
        Reason::PersonKnown => (
            "Mã này là của một người đã có ở đây.",
            "Đặt mã mới cho người mới, hoặc kiểm tra xem đã báo cáo trước đó chưa.",
        ),
        Reason::RowDiffers => (
            "Số này đã được nhập trước đây với nội dung khác.",
            "Sửa bằng phiếu cập nhật có số mới; nếu là biến động khác thì đặt số mới.",
        ),
        Reason::SlipUnknown => {
            ("Không có phiếu cần sửa ở đây.", "Sửa lại số phiếu trong cột `refers_to`, hoặc nhập phiếu đó trước.")
        }
        Reason::NothingToUpdate => {
            ("Phiếu cập nhật không thay đổi gì.", "Điền nội dung cần thay đổi, hoặc số phiếu cần sửa.")
        }
        Reason::PersonUnknown => (
            "Chưa biết người này; phiếu đang chờ.",
            "Nhập sổ hộ gia đình, hoặc phiếu sinh hay phiếu chuyển đến của người đó; phiếu này sẽ tự được nhận. Nếu mã người sai, hãy sửa rồi nhập lại phiếu.",
        ),
        Reason::LunarDate => (
            "Người này đã có, với ngày sinh khác: có lẽ một bên là ngày âm lịch, một bên là ngày dương lịch. Không có gì thay đổi.",
            "Xem giấy khai sinh. Nếu dữ liệu đang có sai, hãy lập phiếu cập nhật với ngày dương lịch; nếu sổ sai, hãy sửa sổ.",
        ),
        Reason::UnitOfOtherList => (
            "Dòng đã được nhận, nhưng vào ngày xảy ra mã này là đơn vị khác so với hiện nay.",
            "Xem tên để biết là đơn vị nào; nếu là đơn vị khác, hãy sửa bằng phiếu cập nhật.",
        ),
        Reason::FindingsOpen => (
            "Có bản ghi không được tính hoặc đáng nghi ngờ.",
            "Xem bản ghi nào, vì sao và phải làm gì: danso-admin finding list.",
        ),
        Reason::FindingNeedsCorrection => (
            "Bản ghi không được tính, và trả lời rằng nó đúng không thay đổi được điều đó: nó mâu thuẫn với các bản ghi khác.",
            "Hãy sửa nó hoặc bản ghi kia bằng phiếu `update` hay `retract`; danso-admin finding show cho biết bản ghi nào.",
        ),
        Reason::FindingUnknown => (
            "Ở đây không có phát hiện như vậy, hoặc nó đã được xử lý.",
            "Xem các phát hiện còn mở bằng danso-admin finding list, cả những cái đã xong với --all.",
        ),
        Reason::NotResident => (
            "Lúc đó người này không cư trú tại đây.",
            "Kiểm tra ngày và các lần chuyển trước; sửa bằng phiếu cập nhật hoặc phiếu hủy.",
        ),
        Reason::AlreadyResident => {
            ("Người này đã cư trú tại đây rồi.", "Kiểm tra xem có báo cáo hai lần không; hủy phiếu sai.")
        }
        Reason::CorrectsNothing => ("Biến động được sửa là của người khác.", "Sửa lại mã người hoặc số phiếu."),
        Reason::KindUnknown => (
            "Phiên bản này không biết loại biến động này; nó được giữ lại và không được tính.",
            "Hãy cập nhật phần mềm của nút này.",
        ),
    }
}
