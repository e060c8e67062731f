#include "kubectl/credential_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/beneath.h"
#include "base/encoding.h"
#include "base/file.h"
#include "kubectl/errors.h"
#include "kubectl/terminal.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

extern char** environ;

namespace keles::kubectl {
namespace {

constexpr std::string_view kV1 = "client.authentication.k8s.io/v1";
constexpr std::string_view kV1beta1 = "client.authentication.k8s.io/v1beta1";
constexpr size_t kMaxOutput = 1u << 20;
constexpr int64_t kLimitMs = 600'000;

Status unreachable(const std::string& why) {
  return plain_failure("Unable to connect to the server: getting credentials: " + why);
}

Value* named(Document& d, const char* list, std::string_view name) {
  Value* all = d.root.find(list);
  if (!all || !all->is_list()) return nullptr;
  for (Value& v : all->items()) {
    if (v["name"].as_string() == name) return &v;
  }
  return nullptr;
}

// What is wrong with the entry.
Status check(const Value& exec, const std::string& user) {
  auto invalid = [](const std::string& why) { return failure("invalid configuration: " + why); };
  std::string version(exec["apiVersion"].as_string());
  if (exec["command"].as_string().empty()) {
    return invalid("command must be specified for " + user + " to use exec authentication plugin");
  }
  if (version.empty()) {
    return invalid("apiVersion must be specified for " + user +
                   " to use exec authentication plugin");
  }
  for (const Value& v : exec["env"].items()) {
    if (!v["name"].as_string().empty()) continue;
    return invalid("env variable name must be specified for " + user +
                   " to use exec authentication plugin");
  }
  std::string mode(exec["interactiveMode"].as_string());
  if (mode.empty() && version != kV1beta1) {
    return invalid("interactiveMode must be specified for " + user +
                   " to use exec authentication plugin");
  }
  if (!mode.empty() && mode != "Never" && mode != "IfAvailable" && mode != "Always") {
    return invalid("invalid interactiveMode for " + user + ": " + quoted(mode));
  }
  if (version != kV1 && version != kV1beta1) {
    return failure("exec plugin: invalid apiVersion " + quoted(version));
  }
  return Status();
}

Result<bool> is_interactive(const Value& exec) {
  std::string_view mode = exec["interactiveMode"].as_string();
  if (mode == "Never") return false;
  const bool terminal = is_terminal(STDIN_FILENO);
  if (mode == "Always" && !terminal) {
    return unreachable(
        "exec plugin cannot support interactive mode: standard input is not a terminal");
  }
  return terminal;
}

Status not_found(const std::string& command, const Value& exec) {
  std::string text =
      "exec: executable " + command +
      " not found\n\nIt looks like you are trying to use a client-go credential plugin that is not "
      "installed.\n\nTo learn more about this feature, consult the documentation available at:\n"
      "      https://kubernetes.io/docs/reference/access-authn-authz/authentication/"
      "#client-go-credential-plugins";
  std::string_view hint = exec["installHint"].as_string();
  if (!hint.empty()) text += "\n\n" + std::string(hint);
  return unreachable(text);
}

int64_t now_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}

// What it writes until it ends, or an error.
Status read_output(const Fd& from, std::string* out) {
  const int64_t end = now_ms() + kLimitMs;
  for (;;) {
    int64_t left = end - now_ms();
    if (left <= 0) return unreachable("exec: the plugin did not answer in time");
    pollfd p{from.get(), POLLIN, 0};
    int ready = ::poll(&p, 1, static_cast<int>(left));
    if (ready <= 0) continue;
    char buffer[8192];
    ssize_t n = ::read(from.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Status();
    out->append(buffer, static_cast<size_t>(n));
    if (out->size() > kMaxOutput) return unreachable("exec: the plugin's output is too long");
  }
}

struct Child {
  std::vector<std::string> argv, env;
  bool with_input = false;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& s : texts) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

Result<std::string> run_child(const Child& child, const Value& exec) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return unreachable(std::string("exec: ") + strerror(errno));
  Fd from(fds[0]), to(fds[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), STDOUT_FILENO);
  if (!child.with_input) {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, standard;
  sigemptyset(&none);
  sigemptyset(&standard);
  sigaddset(&standard, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &standard);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  int error = ::posix_spawnp(&pid, child.argv[0].c_str(), &actions, &attributes,
                             pointers(child.argv).data(), pointers(child.env).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT) return not_found(child.argv[0], exec);
  if (error != 0) {
    return unreachable("exec: fork/exec " + child.argv[0] + ": " + strerror(error));
  }
  to.reset();
  std::string out;
  Status read = read_output(from, &out);
  if (!read.ok()) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!read.ok()) return read;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return unreachable("exec: executable " + child.argv[0] + " failed with exit code " +
                       std::to_string(code));
  }
  return out;
}

// The cluster of the choice, its authority's file read in, as the plug-in is told of it.
Result<Document> told_cluster(Document& config, const std::string& name) {
  Document d;
  Value* entry = named(config, "clusters", name);
  if (!entry) return d;
  const Value& cluster = (*entry)["cluster"];
  d.root = Value::map();
  for (const char* field : {"server", "tls-server-name", "insecure-skip-tls-verify",
                            "certificate-authority-data", "proxy-url", "disable-compression"}) {
    const Value& v = cluster[field];
    if (!v.is_null()) d.root.set(d.arena, field, deep_copy(d.arena, v));
  }
  std::string file(cluster["certificate-authority"].as_string());
  if (cluster["certificate-authority-data"].as_string().empty() && !file.empty()) {
    Result<std::string> pem = read_file(file, 8u << 20);
    if (!pem.ok()) {
      return failure("unable to read certificate-authority " + file + ": " +
                     pem.status().message());
    }
    d.root.set(d.arena, "certificate-authority-data", text(d, base64_encode(*pem)));
  }
  for (const Value& e : cluster["extensions"].items()) {
    if (e["name"].as_string() != "client.authentication.k8s.io/exec") continue;
    d.root.set(d.arena, "config", deep_copy(d.arena, e["extension"]));
  }
  return d;
}

}  // namespace

std::string exec_info(std::string_view api_version, const Value& cluster, bool interactive) {
  Document d;
  put(d, "kind", "ExecCredential");
  put(d, "apiVersion", api_version);
  Value& spec = at(d, "spec");
  if (!spec.is_map()) spec = Value::map();
  if (cluster.is_map()) spec.set(d.arena, "cluster", deep_copy(d.arena, cluster));
  spec.set(d.arena, "interactive", Value(interactive));
  return to_json(d.root);
}

Result<Document> read_exec_credential(std::string_view output, std::string_view api_version) {
  Result<Document> said = parse_json(output);
  if (!said.ok() || said->root["kind"].as_string() != "ExecCredential") {
    std::string why = said.ok() ? "its kind is not ExecCredential" : said.status().message();
    return failure("decoding stdout: " + why);
  }
  std::string_view version = said->root["apiVersion"].as_string();
  if (version != api_version) {
    return failure("exec plugin is configured to use API version " + std::string(api_version) +
                   ", plugin returned version " + std::string(version));
  }
  const Value& status = said->root["status"];
  if (!status.is_map()) return failure("exec plugin didn't return a status field");
  std::string_view token = status["token"].as_string();
  std::string_view certificate = status["clientCertificateData"].as_string();
  std::string_view key = status["clientKeyData"].as_string();
  if (token.empty() && certificate.empty() && key.empty()) {
    return failure("exec plugin didn't return a token or cert/key pair");
  }
  if (certificate.empty() != key.empty()) {
    return failure("exec plugin returned only certificate or key, not both");
  }
  Document user;
  user.root = Value::map();
  if (!token.empty()) put(user, "token", token);
  if (!key.empty()) {
    user.root.set(user.arena, "client-certificate-data", text(user, base64_encode(certificate)));
    user.root.set(user.arena, "client-key-data", text(user, base64_encode(key)));
  }
  return user;
}

Status use_credential_plugin(Document& config, const KubeconfigChoice& choice, bool needed) {
  std::string context = choice.context;
  if (context.empty()) context = config.root["current-context"].as_string();
  Value* entry = named(config, "contexts", context);
  const Value& body = entry ? (*entry)["context"] : Value::null();
  std::string user(choice.user.empty() ? body["user"].as_string() : choice.user);
  std::string cluster(choice.cluster.empty() ? body["cluster"].as_string() : choice.cluster);
  Value* found = named(config, "users", user);
  Value* who = found ? found->find("user") : nullptr;
  if (!who || !(*who)["exec"].is_map()) return Status();
  if (!needed) {
    who->erase("exec");
    return Status();
  }
  const Value& exec = (*who)["exec"];
  if (!(*who)["auth-provider"].is_null()) {
    return failure(
        "invalid configuration: authProvider cannot be provided in combination with an "
        "exec plugin for " +
        user);
  }
  TRY(check(exec, user));
  TRY_ASSIGN(interactive, is_interactive(exec));
  Document told;
  if (exec["provideClusterInfo"].as_bool()) {
    TRY_ASSIGN(read, told_cluster(config, cluster));
    told = std::move(read);
    if (!choice.server.empty() && told.root.is_map()) put(told, "server", choice.server);
  }
  Child child;
  child.argv.emplace_back(exec["command"].as_string());
  for (const Value& a : exec["args"].items()) child.argv.emplace_back(a.as_string());
  std::string version(exec["apiVersion"].as_string());
  auto set_variable = [&child](const std::string& name, std::string_view value) {
    std::erase_if(child.env, [&](const std::string& e) { return e.starts_with(name + "="); });
    child.env.push_back(name + "=" + std::string(value));
  };
  for (char** e = environ; *e; ++e) child.env.emplace_back(*e);
  for (const Value& e : exec["env"].items()) {
    set_variable(std::string(e["name"].as_string()), e["value"].as_string());
  }
  set_variable("KUBERNETES_EXEC_INFO", exec_info(version, told.root, interactive));
  child.with_input = interactive;
  TRY_ASSIGN(output, run_child(child, exec));
  Result<Document> credentials = read_exec_credential(output, version);
  if (!credentials.ok()) return unreachable(credentials.status().message());
  for (const Member& m : credentials->root.members()) {
    who->set(config.arena, config.arena.copy(m.key()), deep_copy(config.arena, m.value));
  }
  who->erase("exec");
  return Status();
}

}  // namespace keles::kubectl
