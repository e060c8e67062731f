#include "keles/component_client.h"

#include <charconv>

namespace keles {

Result<ClientConfig> component_config(const std::string& kubeconfig, const std::string& master) {
  if (kubeconfig.empty() && master.empty()) {
    auto own = in_cluster_config();
    if (own.ok()) return own;
    return own.status().with_prefix("neither --kubeconfig nor --master was specified");
  }
  KubeconfigChoice choice;
  choice.path = kubeconfig;
  choice.server = master;
  if (!kubeconfig.empty()) return load_client_config(choice);
  ClientConfig bare;
  TRY(parse_server_url(master, &bare));
  return bare;
}

Result<double> number_of(const char* flag, const std::string& text) {
  double out = 0;
  const char* end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, out);
  if (read.ec == std::errc() && read.ptr == end) return out;
  return Status::bad_request("invalid argument \"" + text + "\" for \"--" + flag +
                             "\" flag: want a number");
}

}  // namespace keles
