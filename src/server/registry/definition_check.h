// Whether a CustomResourceDefinition may be stored: upstream's validation of definitions
// (ValidateCustomResourceDefinition of apiextensions), with its words, paths and order. As there,
// what all versions have alike is told of at spec.validation, spec.subresources,
// spec.additionalPrinterColumns and spec.selectableFields. Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/schema_check.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles::registry {

// Who judges what x-kubernetes-validations say. Called for each schema without other faults;
// `path`: of its openAPIV3Schema. `unchanged`: the version had this schema before.
struct DefinitionExpressions {
  std::function<void(FieldErrors&, const Value& schema, std::string_view path, bool unchanged)>
      check_schema;
  std::function<void(FieldErrors&, const FieldDesc&, const Value&, std::string_view path)>
      check_default;
};

// Appends what is wrong with the definition. `before`: what an update starts from, or null; what it
// already held wrongly may stay as upstream lets it. Metadata has been validated, but for the name
// being the resource's.
void check_definition(FieldErrors& errors, const Value& now, const Value* before,
                      const DefinitionExpressions& expressions = {});
// Of an update of the status subresource.
void check_definition_status(FieldErrors& errors, const Value& now);

// Warnings for formats that nobody knows, where they are new.
std::vector<std::string> definition_warnings(const Value& now, const Value* before);

}  // namespace keles::registry
