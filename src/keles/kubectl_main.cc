#include <algorithm>
#include <cstdio>

#include "keles/commands.h"
#include "keles/runtime.h"
#include "kubectl/verbs.h"

namespace keles {

namespace {

// `kubectl --context c get pods` is `kubectl get --context c pods`: every flag before the verb
// takes a value.
std::vector<std::string> verb_first(std::vector<std::string> args) {
  size_t at = 0;
  while (at < args.size() && args[at].size() > 1 && args[at][0] == '-' && args[at] != "-h" &&
         args[at] != "--help")
    at += args[at].find('=') == std::string::npos ? 2 : 1;
  if (at > 0 && at < args.size())
    std::rotate(args.begin(), args.begin() + at, args.begin() + at + 1);
  return args;
}

}  // namespace

int kubectl_main(const std::vector<std::string>& given) {
  std::vector<std::string> args = verb_first(given);
  if (args.empty() || args[0] == "help" || args[0] == "--help" || args[0] == "-h") {
    std::fputs(kubectl::usage().c_str(), args.empty() ? stderr : stdout);
    return args.empty() ? 1 : 0;
  }
  for (const kubectl::Verb* v = kubectl::kVerbs; v->name; ++v) {
    if (args[0] != v->name) continue;
    std::vector<std::string> rest(args.begin() + 1, args.end());
    return run_program([v, rest](Context ctx) { return v->run(ctx, rest); });
  }
  std::fprintf(stderr, "error: unknown command \"%s\" for \"kubectl\"\n", args[0].c_str());
  return 1;
}

}  // namespace keles
