// config: reading and changing kubeconfig files. No cluster is asked for anything.
#include <strings.h>

#include <algorithm>
#include <tuple>

#include "base/encoding.h"
#include "base/file.h"
#include "client/kubeconfig.h"
#include "kubectl/kyaml.h"
#include "kubectl/print.h"
#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

struct Section {
  const char *list, *item, *word;
};
constexpr Section kClusters{"clusters", "cluster", "cluster"};
constexpr Section kContexts{"contexts", "context", "context"};
constexpr Section kUsers{"users", "user", "user"};

// The files merged, for reading.
Result<Document> merged(const Invocation& in) {
  const std::string& path = in.connection().kubeconfig;
  Result<Document> d = read_kubeconfig(path);
  if (d.ok()) return d;
  if (d.status().is(Reason::kNotFound)) {
    return failure("stat " + path + ": no such file or directory");
  }
  return failure(d.status().message());
}

// The one file that changes go to.
class ConfigFile {
 public:
  // The file that holds the entry, or else the one that new entries go to.
  static Result<ConfigFile> open(const Invocation& in, const Section* section = nullptr,
                                 const std::string& name = "") {
    ConfigFile f;
    f.path_ = kubeconfig_to_write(in.connection().kubeconfig);
    if (section) {
      for (const std::string& path : kubeconfig_paths(in.connection().kubeconfig)) {
        Result<Document> d = read(path);
        if (d.ok() && has_entry(d->root, *section, name)) {
          f.path_ = path;
          break;
        }
      }
    }
    Result<Document> d = read(f.path_);
    if (!d.ok()) return d.status();
    f.doc_ = std::move(*d);
    return f;
  }

  const std::string& path() const { return path_; }
  Document& doc() { return doc_; }

  // The body of an entry, made when there is none.
  Value& entry(const Section& s, const std::string& name, bool* existed) {
    Value& list = doc_.root.get_or_add(doc_.arena, s.list);
    if (!list.is_list()) list = Value::list();
    for (Value& v : list.items()) {
      if (v["name"].as_string() != name) continue;
      *existed = true;
      return v.get_or_add(doc_.arena, s.item);
    }
    *existed = false;
    Value& made = list.append(doc_.arena, Value::map());
    made.set(doc_.arena, s.item, Value::map());
    made.set(doc_.arena, "name", text(doc_, name));
    return *made.find(s.item);
  }

  bool remove(const Section& s, const std::string& name) {
    Value* list = doc_.root.find(s.list);
    for (size_t i = 0; list && i < list->items().size(); ++i) {
      if (list->at(i)["name"].as_string() != name) continue;
      list->erase_at(i);
      return true;
    }
    return false;
  }

  Status save() {
    size_t slash = path_.rfind('/');
    if (slash != path_.npos && slash > 0) TRY(make_directories(path_.substr(0, slash), 0750));
    Status s = write_file(path_, write_yaml(doc_.root), 0600);
    return s.ok() ? s : failure(s.message());
  }

  static bool has_entry(const Value& config, const Section& s, const std::string& name) {
    for (const Value& v : config[s.list].items()) {
      if (v["name"].as_string() == name) return true;
    }
    return false;
  }

 private:
  static Result<Document> read(const std::string& path) {
    Result<std::string> content = read_file(path, 8u << 20);
    Document empty;
    put(empty, "apiVersion", "v1");
    put(empty, "kind", "Config");
    for (const Section& s : {kClusters, kContexts, kUsers}) {
      empty.root.set(empty.arena, s.list, Value::list());
    }
    if (content.status().is(Reason::kNotFound)) return empty;
    if (!content.ok()) return failure(content.status().message());
    Result<Document> d = parse_yaml(*content);
    if (!d.ok()) {
      return failure("error loading config file \"" + path + "\": " + d.status().message());
    }
    if (!d->root.is_map()) return empty;
    return d;
  }

  std::string path_;
  Document doc_;
};

Result<std::string> exactly_one(Invocation& in) {
  if (in.args.size() == 1) return in.args[0];
  std::string all;
  for (const std::string& a : in.args) all += (all.empty() ? "" : " ") + a;
  return failure("Unexpected args: [" + all + "]\nSee 'kubectl " + in.command().name +
                 " -h' for help and examples");
}

void redact(Document& d) {
  for (Value& c : at(d, "clusters").items()) {
    Value* cluster = c.find("cluster");
    if (cluster && cluster->find("certificate-authority-data")) {
      cluster->set(d.arena, "certificate-authority-data", Value::string("DATA+OMITTED"));
    }
  }
  for (Value& u : at(d, "users").items()) {
    Value* user = u.find("user");
    if (!user) continue;
    for (const char* field : {"client-certificate-data", "client-key-data"}) {
      if (user->find(field)) user->set(d.arena, field, Value::string("DATA+OMITTED"));
    }
    for (const char* field : {"token", "password"}) {
      if (user->find(field)) user->set(d.arena, field, Value::string("REDACTED"));
    }
  }
}

// Keeps what the context needs.
Status minify(Document& d, const std::string& wanted) {
  std::string context =
      wanted.empty() ? std::string(d.root["current-context"].as_string()) : wanted;
  if (context.empty()) return failure("current-context must exist in order to minify");
  auto keep = [&d](const Section& s, const std::string& name) {
    Value& list = at(d, s.list);
    for (size_t i = list.items().size(); i-- > 0;) {
      if (list.at(i)["name"].as_string() != name) list.erase_at(i);
    }
    return !list.empty();
  };
  if (!keep(kContexts, context)) {
    return failure("cannot locate context " + context);
  }
  const Value& body = d.root["contexts"].at(0)["context"];
  keep(kClusters, std::string(body["cluster"].as_string()));
  keep(kUsers, std::string(body["user"].as_string()));
  put(d, "current-context", context);
  return Status();
}

// Files that entries name become data inside.
Status flatten(Document& d) {
  auto inline_file = [&d](Value* body, const char* field) -> Status {
    std::string file = body ? std::string((*body)[field].as_string()) : "";
    if (file.empty()) return Status();
    Result<std::string> content = read_file(file, 8u << 20);
    if (!content.ok()) return failure(content.status().message());
    body->set(d.arena, d.arena.copy(std::string(field) + "-data"),
              text(d, base64_encode(*content)));
    body->erase(field);
    return Status();
  };
  for (Value& c : at(d, "clusters").items()) {
    TRY(inline_file(c.find("cluster"), "certificate-authority"));
  }
  for (Value& u : at(d, "users").items()) {
    TRY(inline_file(u.find("user"), "client-certificate"));
    TRY(inline_file(u.find("user"), "client-key"));
  }
  return Status();
}

Status list_names(Invocation& in, const Section& s) {
  TRY(in.parse());
  TRY_ASSIGN(config, merged(in));
  std::vector<std::string> names;
  for (const Value& v : config.root[s.list].items()) names.emplace_back(v["name"].as_string());
  std::sort(names.begin(), names.end());
  print("NAME\n");
  for (const std::string& n : names) print(n + "\n");
  return Status();
}

Status delete_entry(Invocation& in, const Section& s) {
  TRY(in.parse());
  TRY_ASSIGN(name, exactly_one(in));
  TRY_ASSIGN(file, ConfigFile::open(in, &s, name));
  if (!file.remove(s, name)) {
    return failure(std::string("cannot delete ") + s.word + " " + name + ", not in " + file.path());
  }
  if (s.list == kContexts.list && file.doc().root["current-context"].as_string() == name) {
    print_error(
        "warning: this removed your active context, use \"kubectl config use-context\" to "
        "select a different one\n");
  }
  TRY(file.save());
  print(std::string("deleted ") + s.word + " " + name + " from " + file.path() + "\n");
  return Status();
}

// A file's content into NAME-data, or its path into NAME.
Status put_file(Document& d, Value& body, const std::string& field, const std::string& path,
                bool embed) {
  body.erase(field);
  body.erase(field + "-data");
  if (path.empty()) return Status();
  if (!embed) {
    body.set(d.arena, d.arena.copy(field), text(d, path));
    return Status();
  }
  Result<std::string> content = read_file(path, 8u << 20);
  if (!content.ok()) {
    return failure("could not stat " + field + " file " + path + ": " + content.status().message());
  }
  body.set(d.arena, d.arena.copy(field + "-data"), text(d, base64_encode(*content)));
  return Status();
}

// --exec-...: the user's credential plug-in.
struct PluginFlags {
  std::string command, api_version, mode;
  bool cluster_info = false;
  std::vector<std::string> args, env;

  void add_to(Flags& flags) {
    flags.add("exec-command", &command,
              "Command for the exec credential plugin for the user entry in kubeconfig");
    flags.add("exec-api-version", &api_version,
              "API version of the exec credential plugin for the user entry in kubeconfig");
    flags.add("exec-interactive-mode", &mode,
              "InteractiveMode of the exec credentials plugin for the user entry in kubeconfig");
    flags.add("exec-provide-cluster-info", &cluster_info,
              "ProvideClusterInfo of the exec credentials plugin for the user entry in kubeconfig");
    flags.add("exec-arg", &args,
              "New arguments for the exec credential plugin command for the user entry in "
              "kubeconfig");
    flags.add_array("exec-env", &env,
                    "'key=value' environment values for the exec credential plugin");
  }

  // Without a plug-in, there or to be, the other flags have nothing to change.
  Status put(const Flags& flags, Document& d, Value& user) const {
    for (const std::string& one : env) {
      const size_t eq = one.find('=');
      if (eq != 0 && (eq != one.npos || is_removal(one))) continue;
      return failure("invalid exec-env format: " + one);
    }
    const bool given = flags.given("exec-command");
    if (given) {
      Value& exec = user.get_or_add(d.arena, "exec");
      if (!exec.is_map()) exec = Value::map();
      exec.erase("args");
      exec.set(d.arena, "command", text(d, command));
    }
    Value* exec = user.find("exec");
    if (!exec || !exec->is_map()) return Status();
    if (flags.given("exec-api-version")) exec->set(d.arena, "apiVersion", text(d, api_version));
    if (flags.given("exec-interactive-mode")) {
      exec->set(d.arena, "interactiveMode", text(d, mode));
    }
    if (flags.given("exec-provide-cluster-info")) {
      exec->set(d.arena, "provideClusterInfo", Value(cluster_info));
    }
    if (flags.given("exec-arg")) {
      Value& list = exec->set(d.arena, "args", Value::list());
      for (const std::string& a : args) list.append(d.arena, text(d, a));
    }
    put_env(d, *exec);
    const bool beta = (*exec)["apiVersion"].as_string().ends_with("/v1beta1");
    if (beta && !exec->find("interactiveMode")) {
      exec->set(d.arena, "interactiveMode", Value::string("IfAvailable"));
    }
    // What the format always shows.
    if (!exec->find("args")) exec->set(d.arena, "args", Value());
    if (!exec->find("env")) exec->set(d.arena, "env", Value());
    if (!exec->find("provideClusterInfo")) {
      exec->set(d.arena, "provideClusterInfo", Value(false));
    }
    return Status();
  }

 private:
  static bool is_removal(const std::string& one) {
    return one.find('=') == one.npos && one.size() > 1 && one.ends_with('-');
  }

  // "name=value" sets, "name-" takes away.
  void put_env(Document& d, Value& exec) const {
    for (const std::string& one : env) {
      const size_t eq = one.find('=');
      const bool remove = is_removal(one);
      const std::string name = remove ? one.substr(0, one.size() - 1) : one.substr(0, eq);
      Value& list = exec.get_or_add(d.arena, "env");
      if (!list.is_list()) list = Value::list();
      size_t i = 0;
      while (i < list.items().size() && list.items()[i]["name"].as_string() != name) ++i;
      const bool there = i < list.items().size();
      if (remove) {
        if (there) list.erase_at(i);
        continue;
      }
      Value& entry = there ? list.items()[i] : list.append(d.arena, Value::map());
      entry.set(d.arena, "name", text(d, name));
      entry.set(d.arena, "value", text(d, one.substr(eq + 1)));
    }
  }
};

// Members in the order in which the format describes them: what `-o json` shows.
Document in_file_order(const Value& config) {
  static constexpr std::string_view kOrder[] = {"command",
                                                "args",
                                                "env",
                                                "kind",
                                                "apiVersion",
                                                "name",
                                                "clusters",
                                                "users",
                                                "contexts",
                                                "current-context",
                                                "server",
                                                "tls-server-name",
                                                "insecure-skip-tls-verify",
                                                "certificate-authority",
                                                "certificate-authority-data",
                                                "proxy-url",
                                                "client-certificate",
                                                "client-certificate-data",
                                                "client-key",
                                                "client-key-data",
                                                "token",
                                                "tokenFile",
                                                "username",
                                                "password",
                                                "cluster",
                                                "user",
                                                "namespace",
                                                "exec",
                                                "value",
                                                "installHint",
                                                "provideClusterInfo",
                                                "interactiveMode"};
  Document d;
  auto copy = [&d](auto&& self, const Value& v) -> Value {
    if (v.is_list()) {
      Value out = Value::list();
      for (const Value& i : v.items()) out.append(d.arena, self(self, i));
      return out;
    }
    if (!v.is_map()) return deep_copy(d.arena, v);
    Value out = Value::map();
    for (std::string_view key : kOrder) {
      if (const Value* found = v.find(key)) out.set(d.arena, key, self(self, *found));
    }
    for (const Member& m : v.members()) {
      if (!out.find(m.key())) out.set(d.arena, d.arena.copy(m.key()), self(self, m.value));
    }
    return out;
  };
  d.root = copy(copy, config);
  return d;
}

}  // namespace

Status config_view(Invocation& in) {
  OutputFlags output;
  bool raw = false, minified = false, flat = false;
  output.add_to(in.flags);
  in.flags.add("raw", &raw, "Display raw byte data and sensitive data");
  in.flags.add("minify", &minified,
               "Remove all information not used by current-context from the "
               "output");
  in.flags.add("flatten", &flat,
               "Flatten the resulting kubeconfig file into self-contained output");
  TRY(in.parse());
  if (output.output.empty() && output.template_text.empty()) output.output = "yaml";
  TRY_ASSIGN(printer, ObjectPrinter::make(output, false));
  TRY_ASSIGN(config, merged(in));
  if (minified) TRY(minify(config, in.connection().context));
  if (flat) TRY(flatten(config));
  if (!raw) redact(config);
  config.root.erase("preferences");
  for (const Section& s : {kClusters, kContexts, kUsers}) {
    std::span<Value> items = at(config, s.list).items();
    std::stable_sort(items.begin(), items.end(), [](const Value& a, const Value& b) {
      return a["name"].as_string() < b["name"].as_string();
    });
  }
  for (const Section& s : {kClusters, kContexts, kUsers}) {
    if (config.root[s.list].empty()) config.root.set(config.arena, s.list, Value());
  }
  if (strcasecmp(output.output.c_str(), "kyaml") == 0) {
    print("---\n" + write_kyaml(in_file_order(config.root).root, false));
    return Status();
  }
  if (strcasecmp(output.output.c_str(), "json") == 0) {
    Document ordered = in_file_order(config.root);
    print(indent_json(to_json(ordered.root), 4) + "\n");
    return Status();
  }
  TRY_ASSIGN(out, printer->print(config.root));
  print(out);
  return Status();
}

Status config_current_context(Invocation& in) {
  TRY(in.parse());
  TRY_ASSIGN(config, merged(in));
  std::string current(config.root["current-context"].as_string());
  if (current.empty()) return failure("current-context is not set");
  print(current + "\n");
  return Status();
}

Status config_use_context(Invocation& in) {
  TRY(in.parse());
  TRY_ASSIGN(name, exactly_one(in));
  TRY_ASSIGN(config, merged(in));
  if (!ConfigFile::has_entry(config.root, kContexts, name)) {
    return failure("no context exists with the name: " + quoted(name));
  }
  TRY_ASSIGN(file, ConfigFile::open(in));
  put(file.doc(), "current-context", name);
  TRY(file.save());
  print("Switched to context " + quoted(name) + ".\n");
  return Status();
}

Status config_get_contexts(Invocation& in) {
  bool no_headers = false;
  std::string output;
  in.flags.add("no-headers", &no_headers,
               "When using the default or custom-column output format, "
               "don't print headers (default print headers).");
  in.flags.add("output", &output, "Output format. One of: (name).", 'o');
  TRY(in.parse());
  if (!output.empty() && output != "name") {
    return failure("--output " + output +
                   " is not available in kubectl config get-contexts; resetting to default output "
                   "format");
  }
  TRY_ASSIGN(config, merged(in));
  std::string current(config.root["current-context"].as_string());
  std::vector<const Value*> shown;
  std::vector<Status> errors;
  for (const Value& v : config.root["contexts"].items()) {
    std::string name(v["name"].as_string());
    bool asked =
        in.args.empty() || std::find(in.args.begin(), in.args.end(), name) != in.args.end();
    if (asked) shown.push_back(&v);
  }
  for (const std::string& a : in.args) {
    if (!ConfigFile::has_entry(config.root, kContexts, a)) {
      errors.push_back(failure("context " + a + " not found"));
    }
  }
  std::sort(shown.begin(), shown.end(), [](const Value* a, const Value* b) {
    return (*a)["name"].as_string() < (*b)["name"].as_string();
  });
  std::string out;
  if (!no_headers && output.empty()) out = "CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n";
  for (const Value* v : shown) {
    std::string name((*v)["name"].as_string());
    const Value& c = (*v)["context"];
    if (!output.empty()) {
      out += name + "\n";
    } else {
      out += (name == current ? "*\t" : " \t") + name + "\t" +
             std::string(c["cluster"].as_string()) + "\t" + std::string(c["user"].as_string()) +
             "\t" + std::string(c["namespace"].as_string()) + "\n";
    }
  }
  print(align(out, kTableColumns));
  return combine(std::move(errors));
}

Status config_set_context(Invocation& in) {
  bool current = false;
  in.flags.add("current", &current, "Modify the current context");
  TRY(in.parse());
  TRY_ASSIGN(config, merged(in));
  std::string name;
  if (current) {
    if (!in.args.empty()) {
      return in.usage("you cannot specify both a context name and --current");
    }
    name = config.root["current-context"].as_string();
    if (name.empty()) return failure("no current context is set");
  } else {
    TRY_ASSIGN(given, exactly_one(in));
    name = given;
  }
  TRY_ASSIGN(file, ConfigFile::open(in, &kContexts, name));
  bool existed = false;
  Value& body = file.entry(kContexts, name, &existed);
  if (!body.is_map()) body = Value::map();
  const ConnectionFlags& c = in.connection();
  for (const auto& [flag, field, value] :
       {std::tuple("cluster", "cluster", &c.cluster), std::tuple("user", "user", &c.user),
        std::tuple("namespace", "namespace", &c.ns)}) {
    if (!in.flags.given(flag)) continue;
    if (value->empty()) {
      body.erase(field);
    } else {
      body.set(file.doc().arena, field, text(file.doc(), *value));
    }
  }
  for (const char* field : {"cluster", "user"}) {
    if (!body.find(field)) body.set(file.doc().arena, field, Value::string(""));
  }
  TRY(file.save());
  print("Context " + quoted(name) + (existed ? " modified.\n" : " created.\n"));
  return Status();
}

Status config_set_cluster(Invocation& in) {
  bool embed = false;
  std::string proxy_url;
  in.flags.add("proxy-url", &proxy_url, "proxy-url for the cluster entry in kubeconfig");
  in.flags.add("embed-certs", &embed, "embed-certs for the cluster entry in kubeconfig");
  TRY(in.parse());
  TRY_ASSIGN(name, exactly_one(in));
  TRY_ASSIGN(file, ConfigFile::open(in, &kClusters, name));
  bool existed = false;
  Value& body = file.entry(kClusters, name, &existed);
  if (!body.is_map()) body = Value::map();
  const ConnectionFlags& c = in.connection();
  Document& d = file.doc();
  if (in.flags.given("server")) body.set(d.arena, "server", text(d, c.server));
  if (in.flags.given("tls-server-name")) {
    body.set(d.arena, "tls-server-name", text(d, c.tls_server_name));
  }
  if (in.flags.given("insecure-skip-tls-verify")) {
    body.set(d.arena, "insecure-skip-tls-verify", Value(c.insecure));
  }
  if (in.flags.given("proxy-url")) {
    body.erase("proxy-url");
    if (!proxy_url.empty()) body.set(d.arena, "proxy-url", text(d, proxy_url));
  }
  if (in.flags.given("certificate-authority")) {
    TRY(put_file(d, body, "certificate-authority", c.certificate_authority, embed));
  } else if (embed) {
    return failure("you must specify a --certificate-authority to embed");
  }
  if (!body.find("server")) body.set(d.arena, "server", Value::string(""));
  TRY(file.save());
  print("Cluster " + quoted(name) + " set.\n");
  return Status();
}

Status config_set_credentials(Invocation& in) {
  bool embed = false;
  PluginFlags plugin;
  plugin.add_to(in.flags);
  in.flags.add("embed-certs", &embed, "Embed client cert/key for the user entry in kubeconfig");
  TRY(in.parse());
  TRY_ASSIGN(name, exactly_one(in));
  const ConnectionFlags& c = in.connection();
  if (!c.token.empty() && !c.username.empty()) {
    return failure(
        "you cannot specify more than one authentication method at the same time: "
        "--token, --username/--password");
  }
  TRY_ASSIGN(file, ConfigFile::open(in, &kUsers, name));
  bool existed = false;
  Value& body = file.entry(kUsers, name, &existed);
  if (!body.is_map()) body = Value::map();
  Document& d = file.doc();
  for (const auto& [flag, value] :
       {std::pair("token", &c.token), std::pair("username", &c.username),
        std::pair("password", &c.password)}) {
    if (in.flags.given(flag)) body.set(d.arena, flag, text(d, *value));
  }
  if (in.flags.given("client-certificate")) {
    TRY(put_file(d, body, "client-certificate", c.client_certificate, embed));
  }
  if (in.flags.given("client-key")) TRY(put_file(d, body, "client-key", c.client_key, embed));
  TRY(plugin.put(in.flags, d, body));
  TRY(file.save());
  print("User " + quoted(name) + " set.\n");
  return Status();
}

Status config_rename_context(Invocation& in) {
  TRY(in.parse());
  if (in.args.size() != 2) return in.usage("Unexpected args");
  const std::string &from = in.args[0], &to = in.args[1];
  TRY_ASSIGN(file, ConfigFile::open(in, &kContexts, from));
  Value* found = nullptr;
  for (Value& v : at(file.doc(), "contexts").items()) {
    if (v["name"].as_string() == to) {
      return failure("cannot rename the context " + quoted(from) + ", the context " + quoted(to) +
                     " already exists in " + file.path());
    }
    if (v["name"].as_string() == from) found = &v;
  }
  if (!found) {
    return failure("cannot rename the context " + quoted(from) + ", it's not in " + file.path());
  }
  found->set(file.doc().arena, "name", text(file.doc(), to));
  if (file.doc().root["current-context"].as_string() == from) {
    put(file.doc(), "current-context", to);
  }
  TRY(file.save());
  print("Context " + quoted(from) + " renamed to " + quoted(to) + ".\n");
  return Status();
}

Status config_unset(Invocation& in) {
  TRY(in.parse());
  TRY_ASSIGN(name, exactly_one(in));
  TRY_ASSIGN(file, ConfigFile::open(in));
  Document& d = file.doc();
  size_t dot = name.find('.');
  std::string head = name.substr(0, dot);
  bool known = false;
  for (const Section& s : {kClusters, kContexts, kUsers}) {
    if (head != s.list) continue;
    known = true;
    if (dot == name.npos) {
      d.root.set(d.arena, s.list, Value::list());
      continue;
    }
    // "contexts.NAME" or "contexts.NAME.FIELD"; names may hold dots, so the longest one counts.
    std::string rest = name.substr(dot + 1);
    if (file.remove(s, rest)) continue;
    size_t last = rest.rfind('.');
    for (Value& v : at(d, s.list).items()) {
      if (last == rest.npos || v["name"].as_string() != rest.substr(0, last)) continue;
      if (Value* body = v.find(s.item)) body->erase(rest.substr(last + 1));
    }
  }
  if (head == "current-context") {
    known = true;
    put(d, "current-context", "");
  }
  if (!known) return failure("unable to locate path " + quoted(name));
  TRY(file.save());
  print("Property " + quoted(name) + " unset.\n");
  return Status();
}

Status config_get_clusters(Invocation& in) { return list_names(in, kClusters); }
Status config_get_users(Invocation& in) { return list_names(in, kUsers); }
Status config_delete_cluster(Invocation& in) { return delete_entry(in, kClusters); }
Status config_delete_context(Invocation& in) { return delete_entry(in, kContexts); }
Status config_delete_user(Invocation& in) { return delete_entry(in, kUsers); }

}  // namespace keles::kubectl
