// Strings: the extension of version 2, which is Kubernetes'.
#include <algorithm>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "cel/format_text.h"
#include "cel/libraries.h"
#include "cel/numbers.h"
#include "cel/run.h"
#include "cel/source.h"
#include "cel/text.h"
#include "cel/times.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

Val out_of_range(Run& run, int64_t i) {
  return run.error("index out of range: " + std::to_string(i));
}

// The byte at which code point `i` begins; false when `i` is outside of the text.
bool offset_of(std::string_view s, int64_t i, size_t& at) {
  if (i < 0 || i > static_cast<int64_t>(s.size())) return false;
  at = rune_offset(s, static_cast<size_t>(i));
  return at != s.npos;
}

Val char_at(Run& run, Args a) {
  const std::string_view s = a[0].text();
  size_t at = 0;
  if (!offset_of(s, a[1].as_int(), at)) return out_of_range(run, a[1].as_int());
  if (at == s.size()) return Val::string("");
  size_t end = at;
  next_rune(s, end);
  return Val::string(s.substr(at, end - at));
}

Val index_of(Run& run, Args a) {
  const std::string_view s = a[0].text(), part = a[1].text();
  const int64_t from = a.size() == 3 ? a[2].as_int() : 0;
  if (part.empty()) return Val::integer(from);
  if (from < 0) return out_of_range(run, from);
  size_t at = 0;
  if (!offset_of(s, from, at) || at == s.size()) return Val::integer(-1);
  const size_t found = find_text(s, part, at);
  if (found == s.npos) return Val::integer(-1);
  return Val::integer(from + static_cast<int64_t>(count_runes(s.substr(at, found - at))));
}

Val last_index_of(Run& run, Args a) {
  const std::string_view s = a[0].text(), part = a[1].text();
  const auto length = static_cast<int64_t>(count_runes(s));
  if (part.empty()) return Val::integer(a.size() == 3 ? a[2].as_int() : length);
  int64_t last = length - 1;
  if (a.size() == 3) {
    if (a[2].as_int() < 0) return out_of_range(run, a[2].as_int());
    if (a[2].as_int() >= length) return Val::integer(-1);
    last = a[2].as_int();
  }
  size_t limit = 0;
  if (last < 0 || part.size() > s.size() || !offset_of(s, last, limit)) return Val::integer(-1);
  // The last that begins at or before `limit`: each is found once.
  size_t best = s.npos;
  for (size_t at = find_text(s, part, 0); at != s.npos && at <= limit;
       at = find_text(s, part, at + 1)) {
    best = at;
  }
  if (best == s.npos) return Val::integer(-1);
  return Val::integer(static_cast<int64_t>(count_runes(s.substr(0, best))));
}

Val map_ascii(Run& run, std::string_view s, char first, char last, int shift) {
  std::string out(s);
  for (char& c : out) {
    if (c >= first && c <= last) c = static_cast<char>(c + shift);
  }
  return run.string(out);
}
Val lower_ascii(Run& run, Args a) { return map_ascii(run, a[0].text(), 'A', 'Z', 'a' - 'A'); }
Val upper_ascii(Run& run, Args a) { return map_ascii(run, a[0].text(), 'a', 'z', 'A' - 'a'); }

Val replace(Run& run, Args a) {
  const std::string_view s = a[0].text(), from = a[1].text(), to = a[2].text();
  const int64_t limit = a.size() == 4 ? a[3].as_int() : -1;
  std::string out;
  size_t at = 0;
  int64_t n = 0;
  const auto more = [&] { return limit < 0 || n < limit; };
  if (from.empty()) {
    // Before every letter, and at the end.
    while (more()) {
      out += to;
      ++n;
      if (at >= s.size()) break;
      const size_t begin = at;
      next_rune(s, at);
      out += s.substr(begin, at - begin);
      if (!run.has_room(out.size())) return run.stop_error();
    }
  } else {
    for (; more(); ++n) {
      const size_t found = find_text(s, from, at);
      if (found == s.npos) break;
      out += s.substr(at, found - at);
      out += to;
      at = found + from.size();
      if (!run.has_room(out.size())) return run.stop_error();
    }
  }
  if (at < s.size()) out += s.substr(at);
  return run.string(out);
}

Val split(Run& run, Args a) {
  const std::string_view s = a[0].text(), by = a[1].text();
  const int64_t limit = a.size() == 3 ? a[2].as_int() : -1;
  Val out = run.make_list();
  if (limit == 0) return out;
  size_t at = 0;
  for (int64_t n = 1; limit < 0 || n < limit; ++n) {
    size_t end = at;
    if (by.empty()) {
      if (at >= s.size()) break;
      next_rune(s, end);
      if (end == s.size()) break;
    } else {
      end = find_text(s, by, at);
      if (end == s.npos) break;
    }
    out = run.append(out, Val::string(s.substr(at, end - at)));
    if (run.stopped()) return out;
    at = end + by.size();
  }
  if (by.empty() && s.empty()) return out;
  return run.append(out, Val::string(s.substr(at)));
}

Val substring(Run& run, Args a) {
  const std::string_view s = a[0].text();
  const int64_t start = a[1].as_int();
  if (a.size() == 3 && start > a[2].as_int()) {
    return run.error("invalid substring range. start: " + std::to_string(start) +
                     ", end: " + std::to_string(a[2].as_int()));
  }
  size_t begin = 0, end = s.size();
  if (!offset_of(s, start, begin)) return out_of_range(run, start);
  if (a.size() == 3 && !offset_of(s, a[2].as_int(), end)) return out_of_range(run, a[2].as_int());
  return Val::string(s.substr(begin, end - begin));
}

Val trim(Run&, Args a) { return Val::string(trim_space(a[0].text())); }

Val join(Run& run, Args a) {
  const std::string_view by = a.size() == 2 ? a[1].text() : "";
  std::string out;
  for (size_t i = 0; i < a[0].size(); ++i) {
    const Val v = list_at(run, a[0], i);
    if (!v.is(Tag::kString)) return run.error("join: invalid input: " + to_display(run, v));
    if (i != 0) out += by;
    out += v.text();
    if (!run.has_room(out.size())) return run.stop_error();
  }
  return run.string(out);
}

Val quote(Run& run, Args a) {
  constexpr std::string_view kFrom = "\a\b\f\n\r\t\v\\\"";
  constexpr std::string_view kTo = "abfnrtv\\\"";
  const std::string_view s = a[0].text();
  std::string out = "\"";
  for (size_t at = 0; at < s.size();) {
    if (const size_t i = kFrom.find(s[at]); i != kFrom.npos) {
      out += '\\';
      out += kTo[i];
      ++at;
    } else {
      append_rune(out, next_rune(s, at));
    }
  }
  return run.string(out + "\"");
}

// --- format ------------------------------------------------------------------------------------

Status fault(std::string message) { return Status(Reason::kInvalid, std::move(message)); }

class Formatter {
 public:
  explicit Formatter(Run& run) : run_(run) {}

  Status write(const FormatClause& clause, const Val& v, std::string& out) {
    switch (clause.letter) {
      case 's':
        return text(v, out);
      case 'd':
        return whole(v, 10, false, 'd', out);
      case 'o':
        return whole(v, 8, false, 'o', out);
      case 'b':
        if (v.is(Tag::kBool)) {
          out += v.as_bool() ? '1' : '0';
          return {};
        }
        return whole(v, 2, false, 'b', out);
      case 'x':
      case 'X':
        return hex(v, clause.letter == 'X', out);
      default:
        return real(v, clause, out);
    }
  }

 private:
  Status refuse(char letter, const Val& v) { return fault(wrong_argument(letter, type_name(v))); }

  Status whole(const Val& v, unsigned base, bool upper, char letter, std::string& out) {
    if (!v.is(Tag::kInt) && !v.is(Tag::kUint)) return refuse(letter, v);
    uint64_t n = v.as_uint();
    if (v.is(Tag::kInt) && v.as_int() < 0) {
      out += '-';
      n = 0 - n;
    }
    std::string digits;
    do {
      const auto d = static_cast<char>(n % base);
      digits += static_cast<char>(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
      n /= base;
    } while (n != 0);
    out.append(digits.rbegin(), digits.rend());
    return {};
  }

  Status hex(const Val& v, bool upper, std::string& out) {
    if (!v.is(Tag::kString) && !v.is(Tag::kBytes)) return whole(v, 16, upper, 'x', out);
    const std::string_view digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    for (const char c : v.text()) {
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
    return {};
  }

  // As English writes it: 1,234.500000; 1.234500×10⁰³.
  Status real(const Val& v, const FormatClause& clause, std::string& out) {
    double d = 0;
    if (v.is(Tag::kDouble)) {
      d = v.as_double();
    } else if (v.is(Tag::kString) && v.text() == "NaN") {
      d = std::nan("");
    } else if (v.is(Tag::kString) && (v.text() == "Infinity" || v.text() == "-Infinity")) {
      d = v.text()[0] == '-' ? -INFINITY : INFINITY;
    } else {
      return refuse(clause.letter, v);
    }
    const int digits = std::min(clause.precision.value_or(6), 60);
    if (!std::isfinite(d)) {
      // %e sets them to the right, in as many places as there are digits.
      const auto width = static_cast<size_t>(std::isnan(d) ? 3 : d < 0 ? 2 : 1);
      if (clause.letter == 'e' && static_cast<size_t>(digits) > width) {
        out.append(static_cast<size_t>(digits) - width, ' ');
      }
      out += std::isnan(d) ? "NaN" : d < 0 ? "-\u221e" : "\u221e";
      return {};
    }
    out += clause.letter == 'f' ? grouped(format_fixed(d, digits))
                                : power_of_ten(format_scientific(d, digits));
    return {};
  }
  static std::string grouped(std::string s) {
    const size_t dot = std::min(s.find('.'), s.size());
    const size_t first = s.starts_with('-') ? 1 : 0;
    for (size_t at = dot; at > first + 3; at -= 3) s.insert(at - 3, ",");
    return s;
  }
  static std::string power_of_ten(const std::string& s) {
    constexpr std::string_view kRaised[] = {"\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074",
                                            "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
    const size_t e = s.find('e');
    std::string out = s.substr(0, e) + "\u00d710";
    for (const char c : s.substr(e + 1)) {
      if (c == '-') out += "\u207b";
      if (c >= '0' && c <= '9') out += kRaised[c - '0'];
    }
    return out;
  }

  // What %s writes.
  Status text(const Val& v, std::string& out) {
    switch (v.tag()) {
      case Tag::kList:
        return list(v, out);
      case Tag::kMap:
        return map(v, out);
      case Tag::kDuration:
        out += format_seconds(v.as_int());
        return {};
      case Tag::kNull:
        out += "null";
        return {};
      case Tag::kBytes:
        if (!valid_utf8(v.text())) {
          return fault(
              "could not convert argument \"invalid UTF-8 in bytes, cannot convert to string\" to "
              "string");
        }
        out += v.text();
        return {};
      case Tag::kBool:
      case Tag::kInt:
      case Tag::kUint:
      case Tag::kDouble:
      case Tag::kString:
      case Tag::kTimestamp:
      case Tag::kType:
        out += to_display(run_, v);
        return {};
      default:
        return refuse('s', v);
    }
  }

  // An element of a list or a map, as CEL would write it.
  Status inner(const Val& v, std::string& out) {
    switch (v.tag()) {
      case Tag::kString:
        append_quoted(out, v.text());
        return {};
      case Tag::kBytes:
        out += 'b';
        append_quoted(out, v.text());
        return {};
      case Tag::kTimestamp:
        out += "timestamp(\"" + to_display(run_, v) + "\")";
        return {};
      case Tag::kDuration:
        out += "duration(\"" + format_seconds(v.as_int()) + "\")";
        return {};
      case Tag::kDouble: {
        const std::string s = format_fixed(v.as_double(), 6);
        out += std::isfinite(v.as_double()) ? s : "\"" + s + "\"";
        return {};
      }
      case Tag::kNull:
      case Tag::kBool:
      case Tag::kInt:
      case Tag::kUint:
      case Tag::kType:
      case Tag::kList:
      case Tag::kMap:
        return text(v, out);
      default:
        return fault("no formatting function for " + std::string(type_name(v)));
    }
  }

  Status list(const Val& v, std::string& out) {
    out += '[';
    for (size_t i = 0; i < v.size(); ++i) {
      if (i != 0) out += ", ";
      TRY(inner(list_at(run_, v, i), out));
      if (!run_.has_room(out.size())) return fault("too long");
    }
    out += ']';
    return {};
  }

  Status map(const Val& v, std::string& out) {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const Val& key : map_keys(run_, v)) {
      if (!key.is(Tag::kString) && !key.is(Tag::kBool) && !key.is(Tag::kInt) &&
          !key.is(Tag::kUint)) {
        return fault("no formatting function for map key of type " + std::string(type_name(key)));
      }
      auto& [name, value] = entries.emplace_back();
      TRY(inner(key, name));
      Val found;
      map_find(run_, v, key, found);
      TRY(inner(found, value));
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& x, const auto& y) { return x.first < y.first; });
    out += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i != 0) out += ", ";
      out += entries[i].first + ":" + entries[i].second;
    }
    out += '}';
    return {};
  }

  Run& run_;
};

Val format(Run& run, Args a) {
  Formatter formatter(run);
  size_t used = 0;
  const Result<std::string> out = format_text(
      a[0].text(), a[1].size(),
      [&](const FormatClause& clause, std::string& to) {
        return formatter.write(clause, list_at(run, a[1], clause.argument), to);
      },
      used);
  return out.ok() ? run.string(*out) : run.error(out.status().message());
}

}  // namespace

void add_strings(Library& lib) {
  const TypePtr &s = string_type(), &i = int_type();
  const TypePtr list = list_type(s);
  lib.member("charAt", "string_char_at_int", {s, i}, s, char_at);
  lib.member("indexOf", "string_index_of_string", {s, s}, i, index_of);
  lib.member("indexOf", "string_index_of_string_int", {s, s, i}, i, index_of);
  lib.member("lastIndexOf", "string_last_index_of_string", {s, s}, i, last_index_of);
  lib.member("lastIndexOf", "string_last_index_of_string_int", {s, s, i}, i, last_index_of);
  lib.member("lowerAscii", "string_lower_ascii", {s}, s, lower_ascii);
  lib.member("upperAscii", "string_upper_ascii", {s}, s, upper_ascii);
  lib.member("replace", "string_replace_string_string", {s, s, s}, s, replace);
  lib.member("replace", "string_replace_string_string_int", {s, s, s, i}, s, replace);
  lib.member("split", "string_split_string", {s, s}, list, split);
  lib.member("split", "string_split_string_int", {s, s, i}, list, split);
  lib.member("substring", "string_substring_int", {s, i}, s, substring);
  lib.member("substring", "string_substring_int_int", {s, i, i}, s, substring);
  lib.member("trim", "string_trim", {s}, s, trim);
  lib.member("format", "string_format", {s, list_type(dyn_type())}, s, format);
  lib.global("strings.quote", "strings_quote", {s}, s, quote);
  lib.member("join", "list_join", {list}, s, join);
  lib.member("join", "list_join_string", {list, s}, s, join);
}

}  // namespace keles::cel
