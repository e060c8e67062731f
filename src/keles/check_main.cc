// `keles check`: what this machine lacks to be a server or a node.
#include <cstdio>

#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/machine_check.h"

namespace keles {

int check_main(const std::vector<std::string>& args) {
  std::vector<std::string> ignored;
  int64_t port = 6443;
  machines::MachineRole role;
  Flags flags(
      "Looks at this machine before anything is made: kernel, cgroups, programs, ports, time, "
      "disk.\n\nUsage:\n  keles check [server|agent] [flags]");
  flags.add("data-dir", &role.data_dir, "Where the store and the node's own files will be.");
  flags.add("secure-port", &port, "The port of the API server.");
  flags.add("node-name", &role.node_name, "The node's name. Empty: the hostname.");
  flags.add("ignore-preflight-errors", &ignored,
            "A list of checks whose errors will be shown as warnings. Example: "
            "'Port-10250,Disk'. Value 'all' ignores errors from all checks.");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    const std::string which = rest.empty() ? "server" : rest[0];
    if (rest.size() > 1 || (which != "server" && which != "agent"))
      return Status::bad_request("want server or agent");
    role.server = which == "server";
    role.api_port = static_cast<uint16_t>(port);
    std::string text;
    Status s = machines::report_findings(machines::check_machine(role), ignored, &text);
    std::fputs(text.c_str(), stdout);
    if (s.ok())
      std::printf("[preflight] This machine can be %s\n", role.server ? "a server" : "an agent");
    return s;
  });
}

}  // namespace keles
