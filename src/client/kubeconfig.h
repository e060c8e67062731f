// Kubeconfig files: which cluster to talk to and as whom (kubectl's own format, v1 Config), and the
// entries that a local cluster writes and removes, as kind does (cluster, user and context
// "kind-NAME"). Blocking, small files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"
#include "net/http.h"

namespace keles {

// How to reach an API server.
struct ClientConfig {
  net::Endpoint endpoint;
  std::string path_prefix;  // "" or "/proxy/prefix", put before every path
  std::string token;        // bearer token
  std::string token_file;   // read again when it is a minute old; wins over `token`
  std::string username, password;
  std::string ns;  // of the context; "" means "default"
};

struct KubeconfigChoice {
  std::string path;     // --kubeconfig; "" : $KUBECONFIG (a list), else ~/.kube/config
  std::string context;  // --context; "" : current-context
  std::string cluster, user, ns, server;  // --cluster, --user, --namespace, --server
};

// The files that a choice means, in order.
std::vector<std::string> kubeconfig_paths(const std::string& path);
// All of them as one Config: the first to name an entry wins. Files that are not there are left
// out; relative file names become absolute.
Result<Document> read_kubeconfig(const std::string& path);
Result<ClientConfig> load_client_config(const KubeconfigChoice& choice);
// From a Config that has been read.
Result<ClientConfig> client_config_of(const Value& config, const KubeconfigChoice& choice);
// A pod's: the service account's token and CA, the address from the environment.
Result<ClientConfig> in_cluster_config();
// "https://host:port/prefix" into endpoint and path prefix.
Status parse_server_url(std::string_view url, ClientConfig* into);

struct KubeconfigEntry {
  std::string name;    // "kind-my-cluster": of the cluster, the user and the context
  std::string server;  // "https://127.0.0.1:6443"
  std::string ca_pem, client_certificate_pem, client_key_pem;
};

// Text of a Config that holds only this entry.
std::string kubeconfig_text(const KubeconfigEntry& entry);
// Puts the entry into the file (made when absent, mode 0600) in the place of one of that name, and
// makes it the current context.
Status merge_kubeconfig(const std::string& file, const KubeconfigEntry& entry);
// Takes out what has that name; current-context is unset when it was that. Absent is fine.
Status remove_from_kubeconfig(const std::string& file, const std::string& name);
// The file that kind writes to: the first that exists, else the last named.
std::string kubeconfig_to_write(const std::string& path);

}  // namespace keles
