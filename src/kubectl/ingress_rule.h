// The rules of `create ingress`: "host/path=service:port[,tls[=secret]]". Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

struct IngressRuleText {
  std::string host, path, service, port, secret;
  bool prefix = false;  // the path ended with "*"
  bool tls = false;
};

Result<IngressRuleText> parse_ingress_rule(const std::string& text);
// spec.rules and spec.tls: rules of one host together, hosts of one secret together.
void put_ingress_rules(Document& d, const std::vector<IngressRuleText>& rules);

}  // namespace keles::kubectl
