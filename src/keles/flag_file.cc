#include "keles/flag_file.h"

#include <map>
#include <set>

#include "base/file.h"
#include "keles/flag_values.h"
#include "machinery/codec_yaml.h"

namespace keles {
namespace {

constexpr size_t kMaxFile = 1u << 20;

// The names of the long flags in `args`.
std::set<std::string> given_in(const std::vector<std::string>& args) {
  std::set<std::string> out;
  for (const std::string& a : args) {
    if (a == "--") break;
    if (a.starts_with("--")) out.insert(a.substr(2, a.find('=') - 2));
    if (a.starts_with("-v")) out.insert("v");  // the one shorthand of programs that run for long
  }
  return out;
}

std::string file_named(const std::vector<std::string>& args) {
  std::string out;
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    if (args[i].starts_with("--config=")) out = args[i].substr(9);
    if (args[i] == "--config" && i + 1 < args.size()) out = args[++i];
  }
  return out;
}

Result<std::string> scalar_text(const Value& v) {
  if (v.is_bool()) return std::string(v.as_bool() ? "true" : "false");
  if (v.is_int()) return std::to_string(v.as_int());
  if (v.is_string()) return std::string(v.as_string());
  return Status::bad_request("want a text, a number or true or false (others in quotes)");
}

// What stands behind the name, once for each time that the flag is given.
Result<std::vector<std::string>> values_of(const Value& v) {
  std::vector<std::string> out;
  if (v.is_list()) {
    for (const Value& item : v.items()) {
      TRY_ASSIGN(text, scalar_text(item));
      out.push_back(text);
    }
  } else if (v.is_map()) {
    for (const auto& m : v.members()) {
      TRY_ASSIGN(text, scalar_text(m.value));
      out.push_back(std::string(m.key()) + "=" + text);
    }
  } else {
    TRY_ASSIGN(text, scalar_text(v));
    out.push_back(text);
  }
  return out;
}

}  // namespace

Result<std::vector<std::string>> flags_of_file(const Flags& flags, const std::string& file,
                                               std::string_view text,
                                               const std::vector<std::string>& args) {
  auto bad = [&file](const std::string& why) { return Status::bad_request(file + ": " + why); };
  auto doc = parse_yaml(text);
  if (!doc.ok()) return bad(doc.status().message());
  std::vector<std::string> out = args;
  if (doc->root.is_null()) return out;  // comments alone
  if (!doc->root.is_map()) return bad("want a mapping of flags to values");
  const std::map<std::string, std::string> known = flag_values(flags, {});
  const std::set<std::string> given = given_in(args);
  std::vector<std::string> more;
  for (const auto& m : doc->root.members()) {
    const std::string name(m.key());
    if (!known.contains(name) || name == "config")
      return bad("unknown flag \"" + name + "\" (--help tells those that there are)");
    auto values = values_of(m.value);
    if (!values.ok()) return bad(name + ": " + values.status().message());
    if (given.contains(name)) continue;
    for (const std::string& v : *values) {
      std::string flag = "--";
      flag.append(name).append("=").append(v);
      more.push_back(std::move(flag));
    }
  }
  out.insert(out.begin(), more.begin(), more.end());
  return out;
}

Result<std::vector<std::string>> with_flag_file(const Flags& flags, const std::string& default_file,
                                                const std::vector<std::string>& args) {
  std::string file = file_named(args);
  if (file.empty() && !path_exists(default_file)) return args;
  if (file.empty()) file = default_file;
  auto text = read_file(file, kMaxFile);
  if (!text.ok()) return text.status().with_prefix("--config");
  return flags_of_file(flags, file, *text, args);
}

}  // namespace keles
