#include <cstdio>

#include "keles/commands.h"
#include "keles/runtime.h"
#include "kubectl/verbs.h"

namespace keles {

int kubectl_main(const std::vector<std::string>& args) {
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
