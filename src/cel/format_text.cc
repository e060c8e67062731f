#include "cel/format_text.h"

#include <charconv>

#include "cel/source.h"

namespace keles::cel {
namespace {

Status fault(std::string message) { return Status(Reason::kInvalid, std::move(message)); }

Status bad_clause(const std::string& why) {
  return fault("could not parse formatting clause: " + why);
}

// Reads ".3f" behind a '%'; `at` moves behind it.
Result<FormatClause> read_clause(std::string_view format, size_t& at) {
  FormatClause clause{};
  if (format[at] == '.') {
    const size_t from = ++at;
    while (at < format.size() && format[at] >= '0' && format[at] <= '9') ++at;
    if (at == format.size()) {
      return bad_clause("error while parsing precision: could not find end of precision specifier");
    }
    const std::string digits(format.substr(from, at - from));
    int precision = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), precision);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return bad_clause(
          "error while parsing precision: error while converting precision to integer: "
          "strconv.Atoi: parsing \"" +
          digits + "\": " + (digits.empty() ? "invalid syntax" : "value out of range"));
    }
    clause.precision = precision;
  }
  const char letter = format[at++];
  if (std::string_view("sdfebxXo").find(letter) == std::string_view::npos) {
    std::string shown;
    append_rune(shown, static_cast<unsigned char>(letter));
    return bad_clause("unrecognized formatting clause \"" + shown + "\"");
  }
  clause.letter = letter;
  return clause;
}

}  // namespace

Result<std::string> format_text(
    std::string_view format, size_t count,
    const std::function<Status(const FormatClause&, std::string&)>& write, size_t& used) {
  std::string out;
  used = 0;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    ++at;
    if (at < format.size() && format[at] == '%') {
      out += format[at++];
      continue;
    }
    if (used >= count) return fault("index " + std::to_string(used) + " out of range");
    if (at == format.size()) return fault("unexpected end of string");
    TRY_ASSIGN(clause, read_clause(format, at));
    clause.argument = used++;
    if (const Status s = write(clause, out); !s.ok()) {
      return fault("error during formatting: " + s.message());
    }
  }
  return out;
}

std::string wrong_argument(char letter, std::string_view type) {
  std::string_view what;
  switch (letter) {
    case 'd':
      what = "decimal clause can only be used on integers";
      break;
    case 'f':
      what = "fixed-point clause can only be used on doubles";
      break;
    case 'e':
      what = "scientific clause can only be used on doubles";
      break;
    case 'b':
      what = "only integers and bools can be formatted as binary";
      break;
    case 'x':
    case 'X':
      what = "only integers, byte buffers, and strings can be formatted as hex";
      break;
    case 'o':
      what = "octal clause can only be used on integers";
      break;
    default:
      what =
          "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, "
          "types, durations, and timestamps";
  }
  return std::string(what) + ", was given " + std::string(type);
}

}  // namespace keles::cel
