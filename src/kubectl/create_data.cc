// create configmap, create secret generic|tls|docker-registry: data from files, literals and
// environment files.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/encoding.h"
#include "base/file.h"
#include "kubectl/content_hash.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxFile = 4u << 20;  // more than the server takes

struct Sources {
  std::vector<std::string> files, literals, env_files;
  void add_to(Flags& flags) {
    flags.add("from-file", &files,
              "Key files can be specified using their file path, in which case a default name will "
              "be given to them, or optionally with a name and file path.");
    flags.add_array("from-literal", &literals,
                    "Specify a key and literal value to insert (i.e. mykey=somevalue)");
    flags.add("from-env-file", &env_files,
              "Specify the path to a file to read lines of key=val pairs.");
  }
};

bool valid_utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    size_t n = c < 0x80                ? 1
               : c >= 0xC2 && c < 0xE0 ? 2
               : c >= 0xE0 && c < 0xF0 ? 3
               : c >= 0xF0 && c < 0xF5 ? 4
                                       : 0;
    if (n == 0 || i + n > s.size()) return false;
    uint32_t point = n == 1 ? c : c & (0xFF >> (n + 1));
    for (size_t k = 1; k < n; ++k) {
      if ((s[i + k] & 0xC0) != 0x80) return false;
      point = point << 6 | (static_cast<unsigned char>(s[i + k]) & 0x3F);
    }
    if ((n == 3 && point < 0x800) || (n == 4 && (point < 0x10000 || point > 0x10FFFF)))
      return false;
    if (point >= 0xD800 && point <= 0xDFFF) return false;
    i += n;
  }
  return true;
}

bool valid_key(std::string_view key) {
  if (key.empty() || key.size() > 253 || key == "." || key == ".." || key.starts_with("..")) {
    return false;
  }
  for (char c : key) {
    bool fits = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
    if (!fits) return false;
  }
  return true;
}

class DataBuilder {
 public:
  DataBuilder(Document& d, bool secret) : d_(d), secret_(secret) {}

  Status add_all(const Sources& s) {
    if (!s.env_files.empty() && (!s.files.empty() || !s.literals.empty())) {
      return failure("from-env-file cannot be combined with from-file or from-literal");
    }
    for (const std::string& f : s.files) TRY(add_file(f));
    for (const std::string& l : s.literals) TRY(add_literal(l));
    for (const std::string& e : s.env_files) TRY(add_env_file(e));
    return Status();
  }

  Status add(const std::string& key, std::string_view value) {
    if (!valid_key(key)) {
      return failure("\"" + key + "\" is not a valid key name for a " +
                     (secret_ ? "Secret" : "ConfigMap") +
                     ": a valid config key must consist of alphanumeric characters, '-', '_' or "
                     "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
                     "validation is '[-._a-zA-Z0-9]+')");
    }
    for (const char* member : {"data", "binaryData"}) {
      if (!d_.root[member].find(key)) continue;
      if (secret_)
        return failure("cannot add key " + key + ", another key by that name already exists");
      return failure("cannot add key \"" + key + "\", another key by that name already exists in " +
                     (std::strcmp(member, "data") == 0 ? "Data" : "BinaryData") +
                     " for ConfigMap \"" + std::string(d_.root["metadata"]["name"].as_string()) +
                     "\"");
    }
    bool plain = !secret_ && valid_utf8(value);
    Value& into = d_.root.get_or_add(d_.arena, plain || secret_ ? "data" : "binaryData");
    into.set(d_.arena, d_.arena.copy(key),
             plain ? text(d_, value) : text(d_, base64_encode(value)));
    return Status();
  }

  Status add_file_as(const std::string& key, const std::string& path) {
    Result<std::string> content = read_file(path, kMaxFile);
    if (!content.ok()) return unreadable(path, content.status());
    return add(key, *content);
  }

 private:
  static Status unreadable(const std::string& path, const Status& why) {
    if (why.is(Reason::kNotFound)) {
      return failure("error reading " + path + ": no such file or directory");
    }
    return failure("error reading " + path + ": " + why.message());
  }

  // "file", "key=file", "directory"
  Status add_file(const std::string& source) {
    size_t eq = source.find('=');
    std::string key = eq == source.npos ? "" : source.substr(0, eq);
    std::string path = eq == source.npos ? source : source.substr(eq + 1);
    if (eq == 0) return failure("key name for file path " + path + " missing");
    if (eq != source.npos && path.empty()) {
      return failure("file path for key name " + key + " missing");
    }
    if (path.find('=') != path.npos) {
      return failure("key names or file paths cannot contain '='");
    }
    struct stat st {};
    bool directory = ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
    if (!directory) {
      size_t slash = path.rfind('/');
      if (key.empty()) key = slash == path.npos ? path : path.substr(slash + 1);
      return add_file_as(key, path);
    }
    if (!key.empty()) return failure("cannot give a key name for a directory path");
    TRY_ASSIGN(names, list_directory(path));
    for (const std::string& name : names) {
      std::string full = path + "/" + name;
      if (::lstat(full.c_str(), &st) == 0 && S_ISREG(st.st_mode)) TRY(add_file_as(name, full));
    }
    return Status();
  }

  Status add_literal(const std::string& source) {
    size_t eq = source.find('=');
    if (eq == 0 || eq == source.npos) {
      return failure("invalid literal source " + source + ", expected key=value");
    }
    std::string_view value = std::string_view(source).substr(eq + 1);
    bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
                  value.back() == value.front();
    if (quoted) value = value.substr(1, value.size() - 2);
    return add(source.substr(0, eq), value);
  }

  Status add_env_file(const std::string& path) {
    Result<std::string> content = read_file(path, kMaxFile);
    if (!content.ok()) return unreadable(path, content.status());
    std::string_view rest = *content;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    while (!rest.empty()) {
      size_t end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      if (line.empty() || line[0] == '#') continue;
      size_t eq = line.find('=');
      std::string key(line.substr(0, eq));
      const char* env = eq == line.npos ? std::getenv(key.c_str()) : nullptr;
      TRY(add(key, eq == line.npos ? std::string_view(env ? env : "") : line.substr(eq + 1)));
    }
    return Status();
  }

  Document& d_;
  bool secret_;
};

struct HashFlag {
  bool append = false;
  void add_to(Flags& flags, const char* what) {
    flags.add("append-hash", &append,
              "Append a hash of the " + std::string(what) + " to its name.");
  }
};

Status send(Invocation& in, Writer& writer, const HashFlag& hash, Document d,
            std::string_view plural, const std::string& failed) {
  if (hash.append) {
    put(d, "metadata.name",
        std::string(d.root["metadata"]["name"].as_string()) + "-" + content_hash(d.root));
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find(plural));
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) return failure(failed + " " + made.status().message());
  return writer.report(made->root, "created");
}

Result<Document> new_data(Invocation& in, std::string_view kind, const std::string& name) {
  TRY_ASSIGN(session, in.session());
  return new_object("v1", kind, name, session->namespace_given() ? session->ns() : "");
}

std::string docker_config(const std::string& user, const std::string& password,
                          const std::string& email, const std::string& server) {
  Document config;
  Value& entry = at(config, "auths").get_or_add(config.arena, config.arena.copy(server));
  entry = Value::map();
  entry.set(config.arena, "username", text(config, user));
  entry.set(config.arena, "password", text(config, password));
  if (!email.empty()) entry.set(config.arena, "email", text(config, email));
  entry.set(config.arena, "auth", text(config, base64_encode(user + ":" + password)));
  return to_json(config.root);
}

}  // namespace

Status create_configmap(Invocation& in) {
  Sources sources;
  HashFlag hash;
  Writer writer("kubectl-create");
  sources.add_to(in.flags);
  hash.add_to(in.flags, "configmap");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  TRY_ASSIGN(d, new_data(in, "ConfigMap", name));
  TRY(DataBuilder(d, false).add_all(sources));
  return send(in, writer, hash, std::move(d), "configmaps", "failed to create configmap:");
}

Status create_secret_generic(Invocation& in) {
  Sources sources;
  std::string type;
  HashFlag hash;
  Writer writer("kubectl-create");
  sources.add_to(in.flags);
  in.flags.add("type", &type, "The type of secret to create");
  hash.add_to(in.flags, "secret");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  TRY_ASSIGN(d, new_data(in, "Secret", name));
  if (!type.empty()) put(d, "type", type);
  TRY(DataBuilder(d, true).add_all(sources));
  return send(in, writer, hash, std::move(d), "secrets", "failed to create secret");
}

Status create_secret_tls(Invocation& in) {
  std::string cert, key;
  HashFlag hash;
  Writer writer("kubectl-create");
  in.flags.add("cert", &cert, "Path to PEM encoded public key certificate.");
  in.flags.add("key", &key, "Path to private key associated with given certificate.");
  hash.add_to(in.flags, "secret");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  if (cert.empty() || key.empty()) return failure("key and cert must be specified");
  TRY_ASSIGN(d, new_data(in, "Secret", name));
  put(d, "type", "kubernetes.io/tls");
  DataBuilder data(d, true);
  TRY(data.add_file_as("tls.crt", cert));
  TRY(data.add_file_as("tls.key", key));
  return send(in, writer, hash, std::move(d), "secrets", "failed to create secret");
}

Status create_secret_docker_registry(Invocation& in) {
  std::string user, password, email, server = "https://index.docker.io/v1/";
  std::vector<std::string> files;
  HashFlag hash;
  Writer writer("kubectl-create");
  in.flags.add("docker-username", &user, "Username for container registry authentication");
  in.flags.add("docker-password", &password, "Password for container registry authentication");
  in.flags.add("docker-email", &email, "Email for container registry");
  in.flags.add("docker-server", &server, "Server location for container registry");
  in.flags.add("from-file", &files,
               "Key files can be specified using their file path, in which case a default name of "
               ".dockerconfigjson will be given to them, or optionally with a name and file path.");
  hash.add_to(in.flags, "secret");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  const bool written = !user.empty() && !password.empty() && !server.empty();
  if (files.empty() && !written) {
    return failure(
        "either --from-file or the combination of --docker-username, "
        "--docker-password and --docker-server is required");
  }
  TRY_ASSIGN(d, new_data(in, "Secret", name));
  put(d, "type", "kubernetes.io/dockerconfigjson");
  DataBuilder data(d, true);
  if (files.empty()) {
    TRY(data.add(".dockerconfigjson", docker_config(user, password, email, server)));
  }
  for (std::string& file : files) {
    // A file without a key is the configuration.
    if (file.find('=') == file.npos) file = ".dockerconfigjson=" + file;
    Sources one;
    one.files = {file};
    TRY(data.add_all(one));
  }
  return send(in, writer, hash, std::move(d), "secrets", "failed to create secret");
}

}  // namespace keles::kubectl
