#include "kubectl/verbs.h"

namespace keles::kubectl {

const Verb kVerbs[] = {
    {"get", "Display one or many resources", get},
    {"apply", "Apply a configuration to a resource by file name or stdin", apply},
    {"delete", "Delete resources by file names or by resource and name", remove},
    {"wait", "Wait for a condition on one resource", wait},
    {nullptr, nullptr, nullptr},
};

std::string usage() {
  std::string s =
      "keles kubectl is a small kubectl for machines that have none; the stock kubectl works as "
      "well.\n\n"
      "Usage:\n  keles kubectl VERB [flags]\n\nVerbs:\n";
  for (const Verb* v = kVerbs; v->name; ++v) {
    std::string name = v->name;
    s += "  " + name + std::string(10 - name.size(), ' ') + v->help + "\n";
  }
  return s;
}

}  // namespace keles::kubectl
