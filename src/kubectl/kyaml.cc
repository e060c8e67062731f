#include "kubectl/kyaml.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <vector>

#include "kubectl/go_format.h"
#include "kubectl/go_template_tree.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool is_word_like(std::string_view s) {
  static constexpr std::string_view kWords[] = {"null",  "~",    "true", "y",   "yes",  "on",
                                                "false", "n",    "no",   "off", ".inf", "-.inf",
                                                "+.inf", ".nan", "t",    "f"};
  std::string small = lower(s);
  return std::find(std::begin(kWords), std::end(kWords), small) != std::end(kWords);
}

// A number of YAML or Go, '_' anywhere in it.
bool is_number_like(std::string_view text) {
  std::string s;
  for (char c : text) {
    if (c != '_') s += c;
  }
  if (go_integer(s) || go_float(s)) return true;
  std::string word = lower(s);
  if (word.starts_with('-') || word.starts_with('+')) word.erase(0, 1);
  return word == "inf" || word == "infinity" || word == "nan";
}

// 11:30 counts in sixties.
bool is_sexagesimal(std::string_view s) {
  if (s.starts_with('-') || s.starts_with('+')) s.remove_prefix(1);
  size_t i = 0;
  if (s.empty() || s[0] < '1' || s[0] > '9') return false;
  while (i < s.size() && (is_digit(s[i]) || s[i] == '_')) ++i;
  int groups = 0;
  while (i < s.size() && s[i] == ':') {
    size_t digits = 0;
    while (i + 1 + digits < s.size() && is_digit(s[i + 1 + digits])) ++digits;
    if (digits == 0 || digits > 2 || (digits == 2 && s[i + 1] > '5')) return false;
    i += 1 + digits;
    ++groups;
  }
  if (i < s.size() && s[i] == '.') {
    ++i;
    while (i < s.size() && (is_digit(s[i]) || s[i] == '_')) ++i;
  }
  return groups > 0 && i == s.size();
}

// 2006-1-2: what else could follow it in a time needs quotes anyhow.
bool is_date(std::string_view s) {
  if (s.size() < 8 || s.size() > 10) return false;
  int numbers[3] = {}, part = 0;
  size_t digits = 0;
  for (char c : s) {
    if (c == '-') {
      if (++part > 2 || digits == 0) return false;
      digits = 0;
    } else if (is_digit(c)) {
      numbers[part] = numbers[part] * 10 + (c - '0');
      if (++digits > (part == 0 ? 4u : 2u)) return false;
    } else {
      return false;
    }
  }
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int year = numbers[0], month = numbers[1], day = numbers[2];
  if (part != 2 || digits == 0 || s.find('-') != 4 || month < 1 || month > 12) return false;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day >= 1 && day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

class Writer {
 public:
  Writer(std::string& out, bool sorted) : out_(out), sorted_(sorted) {}

  void value(const Value& v, int indent) {
    if (v.is_map()) {
      map(v, indent);
    } else if (v.is_list()) {
      list(v, indent);
    } else if (v.is_string()) {
      text(v.as_string(), indent + 1, false);
    } else {
      write_json(out_, v);
    }
  }

 private:
  void spaces(int indent) { out_.append(static_cast<size_t>(indent) * 2, ' '); }

  void map(const Value& v, int indent) {
    if (v.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const Member*> members;
    for (const Member& m : v.members()) members.push_back(&m);
    if (sorted_) {
      std::sort(members.begin(), members.end(),
                [](const Member* a, const Member* b) { return a->key() < b->key(); });
    }
    out_ += "{\n";
    for (const Member* m : members) {
      spaces(indent + 1);
      if (kyaml_needs_quotes(m->key())) {
        text(m->key(), indent + 1, true);
      } else {
        out_ += m->key();
      }
      out_ += ": ";
      value(m->value, indent + 1);
      out_ += ",\n";
    }
    spaces(indent);
    out_ += '}';
  }

  // Maps and lists stand beside each other's brackets; anything else on lines of its own.
  void list(const Value& v, int indent) {
    if (v.empty()) {
      out_ += "[]";
      return;
    }
    auto nested = [](const Value& one) { return one.is_map() || one.is_list(); };
    const bool cuddled = std::all_of(v.items().begin(), v.items().end(), nested);
    out_ += cuddled ? "[" : "[\n";
    bool any = false;
    for (const Value& one : v.items()) {
      if (cuddled) {
        if (any) out_ += ", ";
        value(one, indent);
      } else {
        spaces(indent + 1);
        value(one, indent + 1);
        out_ += ",\n";
      }
      any = true;
    }
    if (!cuddled) spaces(indent);
    out_ += ']';
  }

  // Lines of a text stand on lines; in one line when `compact`.
  void text(std::string_view s, int indent, bool compact) {
    const bool lines = !compact && s.find('\n') != s.npos;
    out_ += '"';
    if (lines) out_ += "\\\n";
    while (!s.empty()) {
      Rune r = first_rune(s);
      if (r.size == 1 && r.value == 0xfffd) {
        escape("\\x%02x", static_cast<unsigned char>(s[0]));
      } else {
        if (out_.back() == '\n') {
          spaces(indent);
          // A blank that begins a line is kept by escaping it.
          const bool blank = r.value == ' ' || (r.value >= '\t' && r.value <= '\r') ||
                             r.value == 0x85 || r.value == 0xa0;
          out_ += blank && r.value != '\n' ? '\\' : ' ';
        }
        rune(s.substr(0, r.size), r.value, compact);
      }
      s.remove_prefix(r.size);
    }
    if (lines) {
      if (out_.back() != '\n') out_ += "\\\n";
      spaces(indent);
    }
    out_ += '"';
  }

  void escape(const char* form, unsigned value) {
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, form, value);
    out_ += buffer;
  }

  void rune(std::string_view bytes, char32_t r, bool compact) {
    if (r == '\n') {
      out_ += compact ? "\\n" : "\\n\\\n";
    } else if (r == '\t') {
      out_ += compact ? "\\t" : "\t";
    } else if (r == '"' || r == '\\') {
      out_ += '\\';
      out_ += bytes;
    } else if (rune_is_printable(r)) {
      out_ += bytes;
    } else {
      static constexpr std::u32string_view kNamed = U"\a\b\f\r\v\x1b\x85\xa0\u2028\u2029";
      static constexpr std::string_view kNames = "abfrveN_LP";
      size_t named = kNamed.find(r);
      if (r == 0) {
        out_ += "\\0";
      } else if (named != kNamed.npos) {
        out_ += '\\';
        out_ += kNames[named];
      } else {
        escape(r < ' ' || r == 0x7f ? "\\x%02x"
               : r < 0x10000        ? "\\u%04x"
                                    : "\\U%08x",
               static_cast<unsigned>(r));
      }
    }
  }

  std::string& out_;
  bool sorted_;
};

}  // namespace

bool kyaml_needs_quotes(std::string_view s) {
  if (s.empty() || is_word_like(s) || is_number_like(s) || is_sexagesimal(s) || is_date(s)) {
    return true;
  }
  for (size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    const bool word = c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool inside = i > 0 && i + 1 < s.size() && (c == '-' || c == '.' || c == '/');
    if (!word && !inside) return true;
  }
  return false;
}

std::string write_kyaml(const Value& v, bool sorted) {
  std::string out;
  Writer(out, sorted).value(v, 0);
  return out + "\n";
}

}  // namespace keles::kubectl
