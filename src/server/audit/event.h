// An audit event (audit.k8s.io/v1 Event): what is known of one request by a stage of it, and its
// texts: a line of JSON as upstream writes it, or the older line of key=value. One request's; not
// shared between threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "server/audit/policy.h"
#include "server/auth/caller.h"

namespace keles::audit {

// A JSON text in pieces, shared with those who made it for the answer.
using Json = std::vector<std::shared_ptr<const std::string>>;
using Annotations = std::vector<std::pair<std::string, std::string>>;

struct ObjectReference {
  std::string resource, ns, name, uid, group, version, resource_version, subresource;
};

struct Event {
  Decision how;
  Stage stage = Stage::kRequestReceived;
  std::string id, uri, verb, user_agent;
  CallerPtr user, impersonated;  // null: nobody, who is so
  std::string constraint;        // the verb that allowed the impersonation, where one was asked for
  std::vector<std::string> source_ips;
  bool has_object = false;
  ObjectReference object;
  // Of the answer, once it is known; 0: not yet. `status` is a Status' JSON without kind,
  // apiVersion and code, or "".
  int code = 0;
  std::string status;
  Json request, response;  // empty: not recorded
  WallTime received, at;
  Annotations annotations;  // in any order; of a key given twice the first holds
};

// The members of the event's JSON, without the braces and without kind and apiVersion, which an
// event in a list does not have. `whole` false: without the objects, and marked as truncated.
std::string event_members(const Event& e, bool whole = true);
std::string legacy_line(const Event& e);

// The status of an answer as Event::status has it.
std::string status_members(const Status& s);
// `addresses` as upstream finds them: X-Forwarded-For, X-Real-Ip, the connection's.
std::vector<std::string> source_ips(std::string_view forwarded_for, std::string_view real_ip,
                                    std::string_view remote_address);
std::string shown_user_agent(std::string_view agent);
// "Authentication failed, attempted: bearer, x509".
std::string failed_authentication(std::string_view authorization, bool certificate,
                                  bool access_token);
// A text that is made for the event alone.
Json one_piece(std::string text);
// Of an answer that is larger nothing is kept for the event. Bytes.
inline constexpr size_t kMostKept = 32u << 20;
// A JSON text of an object, a list or a table without anything's managedFields.
std::string without_managed_fields(const Json& json);

}  // namespace keles::audit
