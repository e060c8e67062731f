// Clients of service accounts of kube-system, for the controllers of a controller manager that runs
// by itself (--use-service-account-credentials). Each asks with a token of its account, which the
// manager's own client requests (an account that is missing is made) and requests anew when four
// fifths of its life have passed, or when it was refused (upstream:
// k8s.io/controller-manager/pkg/clientbuilder).
//
// One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "client/client.h"
#include "client/https_client.h"
#include "client/paths_client.h"

namespace keles {

class AccountClients {
 public:
  struct Options {
    Options() = default;
    ClientConfig server;  // where to ask; whatever credentials it has are not shown
    HttpsClientOptions http;
    double requests_per_second = 0;  // of each account; not above 0: no limit
    int64_t burst = 1;
  };
  // `root` may make tokens; it outlives this.
  AccountClients(Client& root, Options options);
  ~AccountClients();

  // The account's client, which lives as long as this. `kinds`: what its kinds() are; null: the
  // built-in ones.
  Client& of(const std::string& account, CatalogSource* kinds);
  // The same account's, of the API by its paths.
  PathsClient& paths(const std::string& account);

 private:
  struct Account;
  Account& account_of(const std::string& account, CatalogSource* kinds);
  Client& root_;
  Options options_;
  std::map<std::string, std::unique_ptr<Account>> accounts_;
};

}  // namespace keles
