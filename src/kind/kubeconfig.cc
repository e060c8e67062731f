#include "kind/kubeconfig.h"

#include <cstdlib>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "machinery/value.h"
#include "net/pki.h"

namespace keles::kind {
namespace {

constexpr const char* kLists[] = {"clusters", "contexts", "users"};

void remove_named(Value* list, const std::string& name, bool* found) {
  if (!list || !list->is_list()) return;
  for (size_t i = list->size(); i-- > 0;)
    if (list->at(i)["name"].as_string() == name) {
      list->erase_at(i);
      *found = true;
    }
}

Result<Document> load(const std::string& path) {
  auto text = read_file(path);
  if (!text.ok() && !text.status().is(Reason::kNotFound)) return text.status();
  auto doc = parse_yaml(text.value_or(""));
  if (!doc.ok()) return doc.status().with_prefix(path);
  if (doc->root.is_null()) doc->root = Value::map();
  if (!doc->root.is_map()) return Status::bad_request(path + " is not a kubeconfig");
  return std::move(*doc);
}

Status store(const std::string& path, const Document& doc) {
  if (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0)
    TRY(make_directories(path.substr(0, slash), 0700));
  return write_file(path, write_yaml(doc.root), 0600);
}

}  // namespace

std::string format_kubeconfig(const KubeconfigEntry& e) {
  return "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: " +
         net::base64(e.ca_pem) + "\n    server: " + e.server + "\n  name: " + e.name +
         "\ncontexts:\n- context:\n    cluster: " + e.name + "\n    user: " + e.name +
         "\n  name: " + e.name + "\ncurrent-context: " + e.name +
         "\npreferences: {}\nusers:\n- name: " + e.name +
         "\n  user:\n    client-certificate-data: " + net::base64(e.identity.certificate_pem) +
         "\n    client-key-data: " + net::base64(e.identity.key_pem) + "\n";
}

std::string kubeconfig_path(const std::string& flag) {
  if (!flag.empty()) return flag;
  const char* named = std::getenv("KUBECONFIG");
  std::istringstream list(named ? named : "");
  std::string path, last;
  while (std::getline(list, path, ':')) {
    if (path.empty()) continue;
    if (path_exists(path)) return path;
    last = path;
  }
  if (!last.empty()) return last;
  const char* home = std::getenv("HOME");
  return std::string(home && *home ? home : "/root") + "/.kube/config";
}

Status merge_kubeconfig(const std::string& path, const KubeconfigEntry& entry) {
  TRY_ASSIGN(doc, load(path));
  TRY_ASSIGN(added, parse_yaml(format_kubeconfig(entry)));
  Arena& a = doc.arena;
  for (const char* key : {"apiVersion", "kind", "preferences"})
    if (!doc.root.find(key)) doc.root.set(a, key, deep_copy(a, added.root[key]));
  for (const char* key : kLists) {
    Value& list = doc.root.get_or_add(a, key);
    if (!list.is_list()) list = Value::list();
    bool found = false;
    remove_named(&list, entry.name, &found);
    list.append(a, deep_copy(a, added.root[key].at(0)));
  }
  doc.root.set(a, "current-context", Value::string(a.copy(entry.name)));
  return store(path, doc);
}

Result<bool> remove_from_kubeconfig(const std::string& path, const std::string& name) {
  if (!path_exists(path)) return false;
  TRY_ASSIGN(doc, load(path));
  bool found = false;
  for (const char* key : kLists) remove_named(doc.root.find(key), name, &found);
  if (doc.root["current-context"].as_string() == name) {
    doc.root.set(doc.arena, "current-context", Value::string(""));
    found = true;
  }
  if (found) TRY(store(path, doc));
  return found;
}

}  // namespace keles::kind
