#include "machines/install.h"

#include <algorithm>
#include <map>

#include "base/file.h"
#include "machinery/codec_json.h"

namespace keles::machines {
namespace {

constexpr char kServerFile[] =
    R"(# Flags of `keles server` (--help tells all), without their dashes; a list where a flag may be given
# more than once. What the command line gives goes before. Read when the server starts.
#
# node: true                                            # this machine runs pods, too
# join: true                                            # let others join (implied by node)
# advertise-address: 10.0.0.1
# tls-san: [cluster.example.com]
# write-kubeconfig: /etc/kubernetes/admin.conf
)";
constexpr char kAgentFile[] =
    R"(# Flags of `keles agent` (--help tells all), without their dashes; a list where a flag may be given
# more than once. What the command line gives goes before. Read when the agent starts.
#
# server: https://10.0.0.1:6443
# token-file: /etc/keles/token                          # or token: ...; needed until it has joined
# node-labels: {disk: ssd}
)";

// "--name=value", "--name value" and "--switch" as names with values.
Result<std::vector<std::pair<std::string, std::string>>> split_flags(
    const std::vector<std::string>& flags) {
  std::vector<std::pair<std::string, std::string>> out;
  for (size_t i = 0; i < flags.size(); ++i) {
    const std::string& f = flags[i];
    if (!f.starts_with("--") || f.size() == 2)
      return Status::bad_request("\"" + f + "\": want flags of the service, as --name=value");
    const size_t eq = f.find('=');
    std::string value = "true";
    if (eq != std::string::npos) {
      value = f.substr(eq + 1);
    } else if (i + 1 < flags.size() && !flags[i + 1].starts_with("--")) {
      value = flags[++i];
    }
    out.emplace_back(f.substr(2, eq == std::string::npos ? eq : eq - 2), value);
  }
  return out;
}

// As JSON, which is YAML that nothing else is read into ("yes", "010").
std::string quoted(const std::string& text) {
  if (text == "true" || text == "false") return text;
  Document d;
  std::string out;
  write_json(out, Value::string(d.arena.copy(text)));
  return out;
}

}  // namespace

std::string unit_name(bool server) {
  return server ? "keles-server.service" : "keles-agent.service";
}

std::string flag_file_path(bool server) {
  return server ? "/etc/keles/server.yaml" : "/etc/keles/agent.yaml";
}

// Containers outlive the service, which is started again whatever it ended of: KillMode leaves
// what it has not started as its own child.
std::string unit_text(bool server, const std::string& program) {
  const std::string role = server ? "server" : "agent";
  return "[Unit]\nDescription=keles " + role + ": " +
         (server ? "a Kubernetes control plane" : "a Kubernetes node") +
         "\nDocumentation=man:keles(1)\nWants=network-online.target\n"
         "After=network-online.target containerd.service\n"
         "Conflicts=" +
         (server ? unit_name(false) : unit_name(true)) +
         "\n\n[Service]\nType=exec\n"
         "ExecStartPre=-/sbin/modprobe br_netfilter\nExecStartPre=-/sbin/modprobe overlay\n"
         "ExecStart=" +
         program + " " + role + " --config " + flag_file_path(server) +
         "\nRestart=always\nRestartSec=5s\nKillMode=process\nDelegate=yes\nTimeoutStopSec=90s\n"
         "LimitNOFILE=1048576\nLimitNPROC=infinity\nLimitCORE=infinity\nTasksMax=infinity\n"
         "OOMScoreAdjust=-999\n\n[Install]\nWantedBy=multi-user.target\n";
}

Result<std::string> flag_file_text(bool server, const std::vector<std::string>& flags) {
  TRY_ASSIGN(pairs, split_flags(flags));
  std::string out = server ? kServerFile : kAgentFile;
  std::map<std::string, std::vector<std::string>> values;
  std::vector<std::string> order;
  for (const auto& [name, value] : pairs) {
    if (!values.contains(name)) order.push_back(name);
    values[name].push_back(value);
  }
  for (const std::string& name : order) {
    const std::vector<std::string>& all = values[name];
    out += name + ":";
    if (all.size() == 1) {
      out += " " + quoted(all[0]) + "\n";
      continue;
    }
    out += "\n";
    for (const std::string& v : all) out += "- " + quoted(v) + "\n";
  }
  return out;
}

Result<std::vector<PlannedFile>> plan_install(const InstallOptions& o) {
  if (o.program.empty() || o.program[0] != '/')
    return Status::bad_request("--program: want an absolute path");
  TRY_ASSIGN(text, flag_file_text(o.server, o.flags));
  PlannedFile unit, file;
  unit.path = o.root + o.unit_dir + "/" + unit_name(o.server);
  unit.content = unit_text(o.server, o.program);
  file.path = o.root + flag_file_path(o.server);
  file.content = text;
  file.mode = 0600;  // a token may stand in it
  file.keep = o.flags.empty();
  if (!o.flags.empty() && path_exists(file.path)) {
    auto there = read_file(file.path);
    if (!there.ok() || *there != text)
      return Status(Reason::kAlreadyExists,
                    file.path + " is there already: put the flags into it, or remove it first");
  }
  return std::vector<PlannedFile>{unit, file};
}

std::vector<std::string> plan_uninstall(const std::string& root, bool purge) {
  std::vector<std::string> out;
  for (bool server : {true, false}) {
    const std::string unit = root + "/etc/systemd/system/" + unit_name(server);
    if (path_exists(unit)) out.push_back(unit);
    const std::string file = root + flag_file_path(server);
    if (purge && path_exists(file)) out.push_back(file);
  }
  return out;
}

Status check_systemd(const std::string& run) {
  if (path_exists(run + "/systemd/system")) return {};
  return Status::bad_request(
      "systemd does not run on this machine (there is no " + run +
      "/systemd/system): let what starts services here run `keles server` or `keles agent`, or "
      "write the files below another root (--root DIR)");
}

}  // namespace keles::machines
