#include "base/flags.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/parse_bool.h"
#include "base/text_parts.h"

namespace keles {
namespace {

// Go's duration text, the units that a command line needs: h, m, s, ms.
bool parse_short_duration(std::string_view s, Duration* out) {
  if (s == "0") {
    *out = Duration(0);
    return true;
  }
  Duration total(0);
  while (!s.empty()) {
    double n = 0;
    auto r = std::from_chars(s.data(), s.data() + s.size(), n);
    if (r.ec != std::errc() || n < 0) return false;
    s.remove_prefix(static_cast<size_t>(r.ptr - s.data()));
    double unit;
    size_t width = 1;
    if (s.starts_with("ms")) {
      unit = 1e6;
      width = 2;
    } else if (s.starts_with("s")) {
      unit = 1e9;
    } else if (s.starts_with("m")) {
      unit = 60e9;
    } else if (s.starts_with("h")) {
      unit = 3600e9;
    } else {
      return false;
    }
    s.remove_prefix(width);
    total += Duration(static_cast<int64_t>(n * unit));
  }
  *out = total;
  return true;
}

// As pflag prints a list; "" of none.
std::string list_text(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& s : list) out.append(out.empty() ? "[" : ",").append(s);
  return out.empty() ? out : out + "]";
}

}  // namespace

// A command's own flag takes the place of an inherited one of that name, as cobra has it.
void Flags::add_flag(Flag f) {
  if (Flag* inherited = find(f.name)) {
    *inherited = std::move(f);
  } else {
    flags_.push_back(std::move(f));
  }
}

void Flags::add(std::string name, std::string* out, std::string help, char shorthand) {
  add_flag({name, help, *out, "string", shorthand, false, "", false, [out](std::string_view v) {
              *out = v;
              return true;
            }});
}

void Flags::add(std::string name, int64_t* out, std::string help, char shorthand) {
  add_flag({name, help, std::to_string(*out), "int", shorthand, false, "", false,
            [out](std::string_view v) {
              auto r = std::from_chars(v.data(), v.data() + v.size(), *out);
              return r.ec == std::errc() && r.ptr == v.data() + v.size();
            }});
}

void Flags::add(std::string name, bool* out, std::string help, char shorthand) {
  add_flag({name, help, *out ? "true" : "", "", shorthand, true, "true", false,
            [out](std::string_view v) {
              const std::optional<bool> said = parse_bool(v);
              if (said) *out = *said;
              return said.has_value();
            }});
}

void Flags::add(std::string name, std::vector<std::string>* out, std::string help, char shorthand) {
  auto first = std::make_shared<bool>(true);
  add_flag({name, help, list_text(*out), "strings", shorthand, false, "", false,
            [out, first](std::string_view v) {
              if (std::exchange(*first, false)) out->clear();
              for (std::string_view one : split_list(v)) out->emplace_back(one);
              return true;
            }});
}

void Flags::add(std::string name, Duration* out, std::string help, char shorthand) {
  add_flag({name, help, std::to_string(out->count() / 1'000'000'000) + "s", "duration", shorthand,
            false, "", false, [out](std::string_view v) { return parse_short_duration(v, out); }});
}

void Flags::add_array(std::string name, std::vector<std::string>* out, std::string help,
                      char shorthand) {
  auto first = std::make_shared<bool>(true);
  add_flag({name, help, list_text(*out), "stringArray", shorthand, false, "", false,
            [out, first](std::string_view v) {
              if (std::exchange(*first, false)) out->clear();
              out->emplace_back(v);
              return true;
            }});
}

void Flags::set_bare_value(std::string_view name, std::string value) {
  if (Flag* f = find(name)) f->bare_value = std::move(value);
}

Flags::Flag* Flags::find_shorthand(char c) {
  auto it = std::find_if(flags_.begin(), flags_.end(),
                         [&](const Flag& f) { return f.shorthand && f.shorthand == c; });
  return it == flags_.end() ? nullptr : &*it;
}

// '_' is as good as '-', as for Kubernetes' programs (k8s.io/component-base/cli/flag).
Flags::Flag* Flags::find(std::string_view name) {
  const auto same = [name](const Flag& f) {
    return std::equal(name.begin(), name.end(), f.name.begin(), f.name.end(),
                      [](char said, char c) { return said == c || (said == '_' && c == '-'); });
  };
  auto it = std::find_if(flags_.begin(), flags_.end(), same);
  return it == flags_.end() ? nullptr : &*it;
}

bool Flags::given(std::string_view name) const {
  return std::any_of(flags_.begin(), flags_.end(),
                     [&](const Flag& f) { return f.name == name && f.given; });
}

Status Flags::set(Flag& f, std::string_view value, std::string_view as_written) {
  f.given = true;
  if (f.set(value)) return Status();
  return Status::bad_request("invalid argument \"" + std::string(value) + "\" for \"" +
                             std::string(as_written) + "\" flag: want " +
                             (f.is_switch ? "true or false" : f.type));
}

// "--name=value", "--name value", "--switch".
Status Flags::take_long(const std::vector<std::string>& args, size_t* at) {
  std::string_view name = std::string_view(args[*at]).substr(2);
  size_t eq = name.find('=');
  std::string_view value = eq == name.npos ? std::string_view() : name.substr(eq + 1);
  name = name.substr(0, eq);
  std::string written = "--" + std::string(name);
  if (name.empty() || name[0] == '-') return Status::bad_request("bad flag syntax: " + args[*at]);
  Flag* f = find(name);
  if (!f && name == "help") {
    help_ = true;
    return Status();
  }
  if (!f) return Status::bad_request("unknown flag: " + written);
  if (f->shorthand) written = std::string("-") + f->shorthand + ", " + written;
  if (eq != std::string_view::npos) return set(*f, value, written);
  if (!f->bare_value.empty()) return set(*f, f->bare_value, written);
  if (*at + 1 >= args.size()) {
    return Status::bad_request("flag needs an argument: --" + f->name);
  }
  return set(*f, args[++*at], written);
}

// "-n value", "-nvalue", "-n=value", "-it".
Status Flags::take_short(const std::vector<std::string>& args, size_t* at) {
  const std::string& whole = args[*at];
  for (size_t i = 1; i < whole.size(); ++i) {
    Flag* f = find_shorthand(whole[i]);
    if (!f && whole[i] == 'h') {
      help_ = true;
      continue;
    }
    if (!f) {
      return Status::bad_request("unknown shorthand flag: '" + whole.substr(i, 1) + "' in " + "-" +
                                 whole.substr(i));
    }
    std::string written = "-" + whole.substr(i, 1) + ", --" + f->name;
    if (i + 1 < whole.size() && whole[i + 1] == '=') return set(*f, whole.substr(i + 2), written);
    if (!f->bare_value.empty()) {
      TRY(set(*f, f->bare_value, written));
      continue;
    }
    if (i + 1 < whole.size()) return set(*f, whole.substr(i + 1), written);
    if (*at + 1 >= args.size()) {
      return Status::bad_request("flag needs an argument: '" + whole.substr(i, 1) + "' in " + "-" +
                                 whole.substr(i));
    }
    return set(*f, args[++*at], written);
  }
  return Status();
}

Result<std::vector<std::string>> Flags::parse(const std::vector<std::string>& args) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& a = args[i];
    if (a == "--") {
      dash_ = static_cast<int>(rest.size());
      rest.insert(rest.end(), args.begin() + static_cast<long>(i) + 1, args.end());
      break;
    }
    if (a.size() < 2 || a[0] != '-') {
      rest.emplace_back(a);
    } else if (a[1] == '-') {
      TRY(take_long(args, &i));
    } else {
      TRY(take_short(args, &i));
    }
  }
  std::string missing;
  for (const Flag& f : flags_)
    if (f.required && !f.given) missing += (missing.empty() ? "\"" : ", \"") + f.name + "\"";
  if (!help_ && !missing.empty())
    return Status::bad_request("required flag(s) " + missing + " not set");
  return rest;
}

void Flags::require(std::string_view name) {
  if (Flag* f = find(name)) f->required = true;
}

std::string Flags::help_text() const {
  std::string out = usage_ + "\n\nFlags:\n";
  size_t width = 0;
  auto left = [](const Flag& f) {
    std::string s = f.shorthand ? std::string("  -") + f.shorthand + ", --" : "      --";
    s += f.name;
    if (!f.type.empty()) s += " " + f.type;
    return s;
  };
  for (const Flag& f : flags_) width = std::max(width, left(f).size());
  for (const Flag& f : flags_) {
    std::string l = left(f);
    out += l + std::string(width - l.size() + 3, ' ') + f.help;
    if (!f.default_text.empty() && f.default_text != "0")
      out += " (default " + f.default_text + ")";
    if (f.required) out += " (required)";
    out += "\n";
  }
  return out;
}

}  // namespace keles
