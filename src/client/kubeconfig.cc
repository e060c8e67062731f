#include "client/kubeconfig.h"

#include <charconv>
#include <cstdlib>

#include "base/encoding.h"
#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"

namespace keles {

namespace {

constexpr size_t kMaxFile = 8u << 20;
constexpr std::string_view kServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/";

struct Section {
  std::string_view list, item;
};
constexpr Section kSections[] = {
    {"clusters", "cluster"}, {"contexts", "context"}, {"users", "user"}};
constexpr std::string_view kFileFields[] = {"certificate-authority", "client-certificate",
                                            "client-key", "tokenFile"};

void set_text(Document& d, Value& map, std::string_view key, std::string_view text) {
  map.set(d.arena, key, Value::string(d.arena.copy(text)));
}

const Value* named(const Value& list, std::string_view name) {
  for (const Value& v : list.items()) {
    if (v["name"].as_string() == name) return &v;
  }
  return nullptr;
}

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// Inline base64, else the contents of the file, else "".
Result<std::string> data_or_file(const Value& v, const std::string& field) {
  std::string_view inline_data = v[field + "-data"].as_string();
  if (!inline_data.empty()) {
    auto decoded = base64_decode(inline_data);
    if (!decoded.ok()) return decoded.status().with_prefix(field + "-data");
    return decoded;
  }
  std::string file(v[field].as_string());
  if (file.empty()) return std::string();
  auto text = read_file(file, kMaxFile);
  if (!text.ok()) return text.status().with_prefix("unable to read " + field + " " + file);
  return text;
}

Result<Document> empty_config() {
  Document d;
  d.root = Value::map();
  set_text(d, d.root, "apiVersion", "v1");
  set_text(d, d.root, "kind", "Config");
  d.root.set(d.arena, "preferences", Value::map());
  for (const Section& s : kSections) d.root.set(d.arena, s.list, Value::list());
  set_text(d, d.root, "current-context", "");
  return d;
}

Result<Document> read_one(const std::string& file) {
  TRY_ASSIGN(text, read_file(file, kMaxFile));
  auto doc = parse_yaml(text);
  if (!doc.ok()) {
    return doc.status().with_prefix("error loading config file \"" + file + "\"");
  }
  if (!doc->root.is_map()) return empty_config();
  return doc;
}

Status write_config(const std::string& file, const Document& d) {
  TRY(make_directories(directory_of(file), 0750));
  return write_file(file, write_yaml(d.root), 0600);
}

}  // namespace

std::vector<std::string> kubeconfig_paths(const std::string& path) {
  if (!path.empty()) return {path};
  std::vector<std::string> out;
  if (const char* env = getenv("KUBECONFIG"); env && *env) {
    std::string_view rest = env;
    while (!rest.empty()) {
      size_t colon = rest.find(':');
      std::string_view one = rest.substr(0, colon);
      if (!one.empty()) out.emplace_back(one);
      rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    if (!out.empty()) return out;
  }
  const char* home = getenv("HOME");
  out.push_back(std::string(home && *home ? home : "/root") + "/.kube/config");
  return out;
}

std::string kubeconfig_to_write(const std::string& path) {
  std::vector<std::string> paths = kubeconfig_paths(path);
  for (const std::string& p : paths) {
    if (path_exists(p)) return p;
  }
  return paths.back();
}

Result<Document> read_kubeconfig(const std::string& path) {
  TRY_ASSIGN(all, empty_config());
  for (const std::string& file : kubeconfig_paths(path)) {
    auto one = read_one(file);
    if (!one.ok()) {
      if (one.status().is(Reason::kNotFound) && path.empty()) continue;
      return one.status();
    }
    std::string dir = directory_of(file);
    for (const Section& s : kSections) {
      Value* into = all.root.find(s.list);
      for (const Value& v : one->root[s.list].items()) {
        if (named(*into, v["name"].as_string())) continue;
        Value& copy = into->append(all.arena, deep_copy(all.arena, v));
        Value* body = copy.find(s.item);
        if (!body) continue;
        for (std::string_view field : kFileFields) {
          std::string_view name = (*body)[field].as_string();
          if (!name.empty() && name[0] != '/') {
            set_text(all, *body, field, dir + "/" + std::string(name));
          }
        }
        // A credential plug-in that is no plain name is looked for beside the file.
        Value* exec = body->find("exec");
        std::string command(exec ? (*exec)["command"].as_string() : "");
        if (command.find('/') != command.npos && command[0] != '/') {
          set_text(all, *exec, "command", dir + "/" + command);
        }
      }
    }
    std::string_view current = one->root["current-context"].as_string();
    if (all.root["current-context"].as_string().empty() && !current.empty()) {
      set_text(all, all.root, "current-context", current);
    }
  }
  return std::move(all);
}

Status parse_server_url(std::string_view url, ClientConfig* into) {
  std::string whole(url);
  bool tls = true;
  if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
    tls = false;
  }
  size_t slash = url.find('/');
  std::string_view authority = url.substr(0, slash);
  into->path_prefix = slash == std::string_view::npos ? "" : std::string(url.substr(slash));
  while (into->path_prefix.ends_with('/')) into->path_prefix.pop_back();
  std::string_view host = authority, port;
  if (authority.starts_with('[')) {
    size_t close = authority.find(']');
    if (close == std::string_view::npos) {
      return Status::bad_request("invalid server URL \"" + whole + "\": missing ']'");
    }
    host = authority.substr(1, close - 1);
    if (close + 1 < authority.size()) port = authority.substr(close + 2);
  } else if (size_t colon = authority.rfind(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  uint16_t number = tls ? 443 : 80;
  if (!port.empty()) {
    auto [at, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || at != port.data() + port.size()) {
      return Status::bad_request("invalid server URL \"" + whole + "\": invalid port");
    }
  }
  if (host.empty()) return Status::bad_request("invalid server URL \"" + whole + "\": no host");
  into->endpoint.host = host;
  into->endpoint.port = number;
  if (tls && !into->endpoint.tls) into->endpoint.tls.emplace();
  if (!tls) into->endpoint.tls.reset();
  return Status();
}

Status apply_user(const Value& user, ClientConfig* c) {
  TRY_ASSIGN(cert, data_or_file(user, "client-certificate"));
  TRY_ASSIGN(key, data_or_file(user, "client-key"));
  if (!cert.empty() && c->endpoint.tls) c->endpoint.tls->identity = net::TlsIdentity{cert, key};
  c->token = user["token"].as_string();
  c->token_file = user["tokenFile"].as_string();
  c->username = user["username"].as_string();
  c->password = user["password"].as_string();
  if (user.find("exec") || user.find("auth-provider")) {
    return Status::bad_request(
        "credential plugins (exec, auth-provider) are not supported: use a client certificate or a "
        "token");
  }
  return Status();
}

Result<ClientConfig> client_config_of(const Value& config, const KubeconfigChoice& choice) {
  ClientConfig c;
  std::string context =
      choice.context.empty() ? std::string(config["current-context"].as_string()) : choice.context;
  const Value* entry = named(config["contexts"], context);
  if (!entry && !context.empty()) {
    return Status::bad_request("context \"" + context + "\" does not exist");
  }
  const Value& ctx = entry ? (*entry)["context"] : Value::null();
  std::string cluster_name =
      choice.cluster.empty() ? std::string(ctx["cluster"].as_string()) : choice.cluster;
  std::string user_name = choice.user.empty() ? std::string(ctx["user"].as_string()) : choice.user;
  const Value* cluster_entry = named(config["clusters"], cluster_name);
  if (!cluster_entry && !cluster_name.empty()) {
    return Status::bad_request("cluster \"" + cluster_name + "\" does not exist");
  }
  const Value& cluster = cluster_entry ? (*cluster_entry)["cluster"] : Value::null();
  std::string server =
      choice.server.empty() ? std::string(cluster["server"].as_string()) : choice.server;
  if (server.empty()) {
    return Status::bad_request(
        "no server is configured: set KUBECONFIG, or give --kubeconfig or --server");
  }
  TRY(parse_server_url(server, &c));
  if (c.endpoint.tls) {
    TRY_ASSIGN(ca, data_or_file(cluster, "certificate-authority"));
    c.endpoint.tls->ca_pem = ca;
    c.endpoint.tls->insecure = cluster["insecure-skip-tls-verify"].as_bool();
    c.endpoint.tls->server_name = cluster["tls-server-name"].as_string();
  }
  c.ns = choice.ns.empty() ? std::string(ctx["namespace"].as_string()) : choice.ns;
  if (user_name.empty()) return c;
  const Value* user = named(config["users"], user_name);
  if (!user) return Status::bad_request("auth info \"" + user_name + "\" does not exist");
  TRY(apply_user((*user)["user"], &c));
  return c;
}

Result<ClientConfig> load_client_config(const KubeconfigChoice& choice) {
  TRY_ASSIGN(config, read_kubeconfig(choice.path));
  return client_config_of(config.root, choice);
}

Result<ClientConfig> in_cluster_config() {
  const char* host = getenv("KUBERNETES_SERVICE_HOST");
  const char* port = getenv("KUBERNETES_SERVICE_PORT");
  if (!host || !port || !*host || !*port) {
    return Status::bad_request(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and "
        "KUBERNETES_SERVICE_PORT must be defined");
  }
  std::string h(host);
  if (h.find(':') != std::string::npos) h = "[" + h + "]";
  ClientConfig c;
  TRY(parse_server_url("https://" + h + ":" + port, &c));
  TRY_ASSIGN(ca, read_file(std::string(kServiceAccount) + "ca.crt", kMaxFile));
  c.endpoint.tls->ca_pem = ca;
  c.token_file = std::string(kServiceAccount) + "token";
  auto ns = read_file(std::string(kServiceAccount) + "namespace", kMaxFile);
  if (ns.ok()) c.ns = *ns;
  return c;
}

namespace {

void add_entry(Document& d, const KubeconfigEntry& e) {
  auto add = [&](const Section& s) -> Value& {
    Value& list = d.root.get_or_add(d.arena, s.list);
    if (!list.is_list()) list = Value::list();
    for (size_t i = 0; i < list.items().size();) {
      if (list.at(i)["name"].as_string() == e.name) {
        list.erase_at(i);
      } else {
        ++i;
      }
    }
    Value& v = list.append(d.arena, Value::map());
    set_text(d, v, "name", e.name);
    return v.set(d.arena, s.item, Value::map());
  };
  Value& cluster = add(kSections[0]);
  set_text(d, cluster, "certificate-authority-data", base64_encode(e.ca_pem));
  set_text(d, cluster, "server", e.server);
  Value& context = add(kSections[1]);
  set_text(d, context, "cluster", e.name);
  set_text(d, context, "user", e.name);
  Value& user = add(kSections[2]);
  set_text(d, user, "client-certificate-data", base64_encode(e.client_certificate_pem));
  set_text(d, user, "client-key-data", base64_encode(e.client_key_pem));
  set_text(d, d.root, "current-context", e.name);
}

}  // namespace

std::string kubeconfig_text(const KubeconfigEntry& entry) {
  auto d = empty_config();
  add_entry(*d, entry);
  return write_yaml(d->root);
}

Status merge_kubeconfig(const std::string& file, const KubeconfigEntry& entry) {
  auto d = read_one(file);
  if (!d.ok()) {
    if (!d.status().is(Reason::kNotFound)) return d.status();
    d = empty_config();
  }
  add_entry(*d, entry);
  return write_config(file, *d);
}

Status remove_from_kubeconfig(const std::string& file, const std::string& name) {
  auto d = read_one(file);
  if (d.status().is(Reason::kNotFound)) return Status();
  if (!d.ok()) return d.status();
  bool changed = false;
  for (const Section& s : kSections) {
    Value* list = d->root.find(s.list);
    if (!list) continue;
    for (size_t i = 0; i < list->items().size();) {
      if (list->at(i)["name"].as_string() == name) {
        list->erase_at(i);
        changed = true;
      } else {
        ++i;
      }
    }
  }
  if (d->root["current-context"].as_string() == name) {
    set_text(*d, d->root, "current-context", "");
    changed = true;
  }
  return changed ? write_config(file, *d) : Status();
}

}  // namespace keles
