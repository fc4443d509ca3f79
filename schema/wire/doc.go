// Package wire is the public interface of a Holdfast server, declared once: the bodies of REST
// requests and answers, the frames of the WebSocket in both directions, and the codes with which
// connections close.
//
// Everything else is derived from these structs and tables: the strict decoding of frames
// ([Decode]), the OpenAPI and AsyncAPI documents, and the TypeScript types of the clients. A new
// frame is a struct and a row in its table; a new field is a line in its struct. The payloads of
// stored events stand in package schema ([schema.Events]), because workflows and the store make
// them.
//
// Tags say what JSON cannot: `doc` describes a field, `enum` and `minimum` bound it, `maxLength`
// counts characters and `maxBytes` bytes. A field without omitempty or omitzero is required.
//
// Imports: schema.
// Imported by: most packages.
package wire
