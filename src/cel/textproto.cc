#include "cel/textproto.h"

#include <cctype>

#include "cel/source.h"

namespace keles::cel {
namespace {

Status fault(std::string message) { return Status(Reason::kInvalid, std::move(message)); }

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Status message(TextProto& to, char end, int depth) {
    if (depth > 100) return fault("too deep");
    for (;;) {
      skip();
      if (at_ == text_.size()) return end == 0 ? Status() : fault("unfinished message");
      if (text_[at_] == end) {
        ++at_;
        return {};
      }
      if (text_[at_] == ',' || text_[at_] == ';') {
        ++at_;
        continue;
      }
      TRY(field(to, depth));
    }
  }

 private:
  void skip() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string word() {
    skip();
    const size_t from = at_;
    const auto part = [&](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' ||
             c == '+';
    };
    while (at_ < text_.size() && part(text_[at_])) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }

  Status field(TextProto& to, int depth) {
    std::string name;
    if (take('[')) {
      const size_t end = text_.find(']', at_);
      if (end == text_.npos) return fault("unfinished name");
      name = text_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      name = word();
    }
    if (name.empty()) return fault("a name is missing at " + std::to_string(at_));
    const bool colon = take(':');
    if (colon && take('[')) {
      while (!take(']')) {
        TRY(value(to.fields.emplace_back(name, TextProto()).second, depth));
        take(',');
        if (at_ == text_.size()) return fault("unfinished list");
      }
      return {};
    }
    return value(to.fields.emplace_back(name, TextProto()).second, depth);
  }

  Status value(TextProto& to, int depth) {
    skip();
    if (take('{')) return message(to, '}', depth + 1);
    if (take('<')) return message(to, '>', depth + 1);
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      while (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
        TRY(string(to.scalar));
        skip();
      }
      return {};
    }
    to.scalar = word();
    return to.scalar.empty() ? fault("a value is missing at " + std::to_string(at_)) : Status();
  }

  Status string(std::string& out) {
    const char quote = text_[at_++];
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] != '\\') {
        out += text_[at_++];
        continue;
      }
      ++at_;
      TRY(escape(out));
    }
    if (at_ == text_.size()) return fault("unfinished string");
    ++at_;
    return {};
  }

  uint32_t digits(size_t most, uint32_t base) {
    uint32_t value = 0;
    for (size_t n = 0; n < most && at_ < text_.size(); ++n) {
      const char c = text_[at_];
      const bool hex = std::isxdigit(static_cast<unsigned char>(c)) != 0;
      const uint32_t d =
          c <= '9' ? static_cast<uint32_t>(c - '0') : static_cast<uint32_t>((c | 0x20) - 'a' + 10);
      if (!hex || d >= base) break;
      value = value * base + d;
      ++at_;
    }
    return value;
  }

  Status escape(std::string& out) {
    constexpr std::string_view kLetters = "abfnrtv\\'\"?";
    constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\'\"?";
    if (at_ == text_.size()) return fault("unfinished escape");
    const char c = text_[at_];
    if (const size_t i = kLetters.find(c); i != kLetters.npos) {
      out += kMeaning[i];
      ++at_;
    } else if (c == 'x' || c == 'X') {
      ++at_;
      out += static_cast<char>(digits(2, 16));
    } else if (c == 'u' || c == 'U') {
      ++at_;
      append_rune(out, digits(c == 'u' ? 4 : 8, 16));
    } else if (c >= '0' && c <= '7') {
      out += static_cast<char>(digits(3, 8));
    } else {
      return fault("unknown escape");
    }
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

const TextProto& TextProto::operator[](std::string_view name) const {
  static const TextProto kNone;
  for (const auto& [field, value] : fields) {
    if (field == name) return value;
  }
  return kNone;
}

bool TextProto::has(std::string_view name) const {
  for (const auto& field : fields) {
    if (field.first == name) return true;
  }
  return false;
}

std::vector<const TextProto*> TextProto::all(std::string_view name) const {
  std::vector<const TextProto*> out;
  for (const auto& [field, value] : fields) {
    if (field == name) out.push_back(&value);
  }
  return out;
}

Result<TextProto> parse_textproto(std::string_view text) {
  TextProto root;
  TRY(Reader(text).message(root, 0, 0));
  return root;
}

}  // namespace keles::cel
