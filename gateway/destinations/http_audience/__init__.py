"""HTTP audience destinations written as JSON: a definition file becomes a destination like those written in Python.

found                     what a file's reader must offer: places, problems
format*, shape            a file read strictly, every problem with its place; what comes of it
fields                    one record's values: static, empty, required, hashed, normalised, validated
trees, tree_checks        request bodies; templates: URLs, query values, headers
wire, answers, login      pure: batches and requests; outcomes; credentials
perform, lists            the input and output: requests, tokens, jobs; finding, making and deleting a list
loading, definition       files to destinations; what config and the console know of one
reports, rehearsing       the verbs of `gateway destination`, as values
rudderstack/              configurations of RudderStack's Custom Audience (Custom Activation), read and converted
"""
