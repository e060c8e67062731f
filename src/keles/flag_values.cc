#include "keles/flag_values.h"

#include <algorithm>
#include <string_view>

namespace keles {
namespace {

struct Known {
  std::string type;  // "" of a switch
  std::string value;
};

bool is_list(const Known& k) { return k.type == "strings" || k.type == "stringArray"; }

std::string_view word(std::string_view& text) {
  const size_t from = std::min(text.find_first_not_of(' '), text.size());
  text.remove_prefix(from);
  const std::string_view out = text.substr(0, text.find(' '));
  text.remove_prefix(out.size());
  return out;
}

// "  -v, --v int   number for the log level verbosity (default 2)"
void take_line(std::string_view line, std::map<std::string, Known>* out) {
  constexpr size_t kName = 6;  // behind a shorthand, or the room for one
  if (line.size() <= kName || line.substr(kName, 2) != "--") return;
  line.remove_prefix(kName + 2);
  const std::string name(word(line));
  Known known;
  if (!line.starts_with("   ")) known.type = word(line);  // the help stands apart
  constexpr std::string_view kDefault = " (default ";
  if (const size_t from = line.rfind(kDefault); from != line.npos) {
    known.value = line.substr(from + kDefault.size());
    known.value.resize(known.value.rfind(')'));
    if (is_list(known)) known.value = known.value.substr(1, known.value.size() - 2);
  } else if (known.type.empty()) {
    known.value = "false";
  } else if (known.type == "int") {
    known.value = "0";
  }
  out->insert_or_assign(name, std::move(known));
}

}  // namespace

std::map<std::string, std::string> flag_values(const Flags& flags,
                                               const std::vector<std::string>& args) {
  std::map<std::string, Known> known;
  const std::string help = flags.help_text();
  std::string_view rest = std::string_view(help).substr(help.find("\nFlags:\n") + 8);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    take_line(line, &known);
  }
  std::map<std::string, bool> given;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& a = args[i];
    if (!a.starts_with("--") || a.size() == 2) continue;
    const size_t eq = a.find('=');
    std::string name = a.substr(2, eq == a.npos ? eq : eq - 2);
    std::replace(name.begin(), name.end(), '_', '-');
    const auto at = known.find(name);
    if (at == known.end()) continue;
    Known& k = at->second;
    std::string value = "true";
    if (eq != a.npos) {
      value = a.substr(eq + 1);
    } else if (!k.type.empty() && i + 1 < args.size()) {
      value = args[++i];
    }
    const bool again = is_list(k) && given[at->first];
    k.value = again ? k.value + "," + value : value;
    given[at->first] = true;
  }
  std::map<std::string, std::string> out;
  for (const auto& [name, k] : known) out[name] = is_list(k) ? "[" + k.value + "]" : k.value;
  return out;
}

}  // namespace keles
